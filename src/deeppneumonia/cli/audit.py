"""`deeppneumonia audit`: what in a manifest would spoil a result."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.cli.console import (
    AsJson,
    LabelMap,
    ManifestFolder,
    Quiet,
    print_json,
    remark,
    renaming,
)
from deeppneumonia.cli.progress import progress_bar

Manifest = Annotated[
    Path, typer.Argument(help="CSV with path, patient_id, label; site and split if there are any.")
]


def audit(
    manifest: Manifest,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and the JSON.")],
    data: ManifestFolder = None,
    label_map: LabelMap = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search a manifest for leaks, contradictions and labels that are given away.

    Finds patients and pictures that stand on both sides of a split or under two names, and
    measures how well the label can be guessed without looking at lung tissue: from the grey scale,
    the background, the file format, scanner tags, picture size, the lung's outline, six
    statistics, the site's name and every further column. Writes audit.html and audit.json.

    Example: deeppneumonia audit hospital/manifest.csv --out audit
    """
    from deeppneumonia.workflows.audit import audit_manifest

    with progress_bar("rows", quiet=quiet) as progress:
        found = audit_manifest(
            manifest, out, data=data, label_map=renaming(label_map), progress=progress
        )
    if as_json:
        print_json(found)
        return
    _print(found)
    remark(f"pictures and details in {out / 'audit.html'}", quiet=quiet)


def _print(found: dict[str, Any]) -> None:
    typer.echo(f"{found['headline']}\n")
    typer.echo(f"{'guessed from':32}{'patient AUC':>20}")
    for name, guess in found["guesses"].items():
        auc = guess["auc"]
        words = "-" if auc["value"] is None else f"{auc['value']:.2f}"
        if auc["low"] is not None:
            words += f" ({auc['low']:.2f}-{auc['high']:.2f})"
        away = "  gives it away" if guess["gives_away"] and guess["seen"] == "making" else ""
        typer.echo(f"{name[:31]:32}{words:>20}{away}")
    typer.echo("")
    for sentence in found["findings"]:
        typer.echo(f"- {sentence}")
    for sentence in found["not_done"]:
        typer.echo(f"  {sentence}")
    if unread := found["unreadable"]:
        typer.echo(
            f"  rows that could not be read, and are in no comparison and no guess: {len(unread)} "
            f"of {found['rows']}; line {unread[0]['line']}: {unread[0]['reason']}"
        )
