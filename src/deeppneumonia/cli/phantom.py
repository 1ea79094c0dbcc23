"""`deeppneumonia phantom`: synthetic patients with known lesions, to try things on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import Quiet, remark


class Form(StrEnum):
    """How phantom patients are written."""

    DICOM = "dicom"
    NIFTI = "nifti"
    PNG = "png"


def phantom(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; gets a manifest.csv too.")],
    patients: Annotated[int, typer.Option(min=1, help="Patients for each of the labels.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first patient.")] = 0,
    form: Annotated[Form, typer.Option(help="dicom, nifti or png.")] = Form.DICOM,
    slices: Annotated[
        int, typer.Option(min=4, help="Slices of each patient; fewer are made sooner.")
    ] = 60,
    source_confound: Annotated[
        bool,
        typer.Option(
            "--source-confound",
            help="Give each label a scanner of its own, as a bad data set has; audit finds it.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make synthetic chest CT of healthy, COVID-19-like and bacterial-like patients.

    Good for trying the program and for tests; never evidence of how well it diagnoses people.

    Example: deeppneumonia phantom --out phantoms --patients 2
    """
    from deeppneumonia.workflows.phantoms import make_cohort

    manifest = make_cohort(
        out,
        patients_per_label=patients,
        first_seed=seed,
        form=form.value,
        slices=slices,
        source_confound=source_confound,
    )
    remark(f"{3 * patients} patients", quiet=quiet)
    typer.echo(manifest)
