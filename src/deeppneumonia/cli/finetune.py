"""`deeppneumonia finetune`: settle a checkpoint at a new hospital, if that makes it better."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.cli.console import (
    AsJson,
    CheckpointName,
    Device,
    LabelMap,
    Quiet,
    print_json,
    remark,
    renaming,
)
from deeppneumonia.cli.progress import progress_bar
from deeppneumonia.domain.wording import counted

Manifest = Annotated[Path, typer.Argument(help="CSV of labelled patients of the new hospital.")]


def finetune(
    manifest: Manifest,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint and results.")],
    checkpoint: CheckpointName = "default",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that the paths in the manifests are relative to, if not theirs."),
    ] = None,
    label_map: LabelMap = None,
    group: Annotated[
        str | None,
        typer.Option(help="Column of patients that must not be divided, as site or block."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Labelled patients at the points of the learning curve.")
    ] = "5,10,20,40",
    old_site: Annotated[
        Path | None, typer.Option(help="Manifest of the old hospital: measures what is forgotten.")
    ] = None,
    old_split: Annotated[
        str | None, typer.Option(help="Only rows of the old hospital whose split is this word.")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Refit a checkpoint's last layer on labelled patients of a new hospital, and prove the gain.

    The network stands still, so this takes minutes on a CPU. Before and after are measured on
    patients that chose nothing, with a learning curve over the number of labelled patients.
    A new checkpoint is written only if it is better there; otherwise keep the old one.

    Example: deeppneumonia finetune hospital/manifest.csv --out tuned
    """
    if old_split and not old_site:
        raise typer.BadParameter("--old-split is about the rows of --old-site: name that too")
    from deeppneumonia.workflows.finetune import FinetuneConfig
    from deeppneumonia.workflows.finetune import finetune as run

    config = FinetuneConfig(
        group=group, sizes=_numbers(sizes), old_site=old_site, old_split=old_split
    )
    with progress_bar("pictures", quiet=quiet) as progress:
        found = run(
            checkpoint,
            manifest,
            out,
            config,
            data=data,
            label_map=renaming(label_map),
            device=device,
            progress=progress,
        )
    if as_json:
        print_json(found)
        return
    _print(found)
    remark(f"details in {out / 'finetune.json'}", quiet=quiet)


def _numbers(words: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(word) for word in words.split(",")}))
    except ValueError as error:
        raise typer.BadParameter(f"{words!r} is no list of numbers, as 5,10,20,40") from error
    if numbers[0] < 2:
        raise typer.BadParameter(
            f"{counted(numbers[0], 'patient')} cannot be of two labels: give 2 or more"
        )
    return numbers


def _print(found: dict[str, Any]) -> None:
    counts = ", ".join(f"{label} {count}" for label, count in found["patients"].items())
    if found["test_patients"]:
        counts += f"; left out for a test: {found['test_patients']}"
    typer.echo(f"{found['decision']}\n\npatients: {counts}\n")
    typer.echo(f"{'':34}{'AUC':>20}{'gain in AUC':>24}{'log loss':>10}{'ECE':>8}")
    for title, row in found["rows"].items():
        typer.echo(f"{title:34}{_cells(row)}")
    if found["old_site"]:
        for when, row in found["old_site"].items():
            title = "old hospital" if when == "not_done" else f"old hospital, {when}"
            typer.echo(f"{title:34}{_cells(row)}")
    typer.echo(f"\n{'labelled patients':20}{'before':>20}{'after':>20}{'gain':>24}")
    for point in found["learning_curve"]:
        cells = point.get("not_done") or (
            f"{_interval(point['before']):>20}{_interval(point['after']):>20}"
            f"{_interval(point['gain'], sign=True):>24}"
        )
        typer.echo(f"{point['patients']:<20}{cells}")


def _cells(row: dict[str, Any] | str) -> str:
    if isinstance(row, str) or "not_done" in row:
        return f"  not done: {row if isinstance(row, str) else row['not_done']}"
    return (
        f"{_interval(row['auc']):>20}{_interval(row['auc_gain'], sign=True):>24}"
        f"{row['log_loss']:>10.3f}{row['ece']['value']:>8.2f}"
    )


def _interval(found: dict[str, float | None], *, sign: bool = False) -> str:
    value, low, high = (found[end] for end in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "-" if value is None else f"{value:.2f}"
    plus = "+" if sign else ""
    return f"{value:{plus}.2f} ({low:{plus}.2f} to {high:{plus}.2f})"
