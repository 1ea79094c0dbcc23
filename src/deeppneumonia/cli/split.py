"""`deeppneumonia split`: a manifest divided by patient."""

from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import AsJson, print_json

Manifest = Annotated[
    Path, typer.Argument(help="CSV with path, patient_id, label; site if there are several.")
]


def split(
    manifest: Manifest,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The CSV to write, beside the first or above it.")
    ],
    seed: Annotated[int, typer.Option(help="Another seed, another division.")] = 0,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, validation and test.")
    ] = (0.6, 0.1, 0.3),
    as_json: AsJson = False,
) -> None:
    """Divide a manifest into train, validation and test, by patient.

    No patient is in two parts; each part has its share of every label and site.

    Example: deeppneumonia split manifest.csv --out manifest_split.csv
    """
    from deeppneumonia.workflows.prepare import split_manifest

    counts = split_manifest(manifest, out, seed=seed, fractions=fractions)
    if as_json:
        print_json(counts)
        return
    for part, by_label in counts.items():
        words = ", ".join(f"{label} {patients}" for label, patients in by_label.items())
        typer.echo(f"{part:12}{words}  (patients)")
