"""`deeppneumonia phantom`: synthetic patients with known lesions, to try things on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import Quiet, remark
from deeppneumonia.cli.progress import progress_bar


class Form(StrEnum):
    """How phantom patients are written."""

    DICOM = "dicom"
    NIFTI = "nifti"
    PNG = "png"


def phantom(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; gets a manifest.csv too.")],
    patients: Annotated[int, typer.Option(min=1, help="Patients for each of the labels.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first patient.")] = 0,
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
    into: Annotated[
        list[Path] | None,
        typer.Option(
            help="Paint lesions into the healthy training slices of this manifest instead; "
            "may be named several times.",
        ),
    ] = None,
    copies: Annotated[
        int, typer.Option(min=1, help="With --into: painted copies of each healthy slice.")
    ] = 7,
    quiet: Quiet = False,
) -> None:
    """Make synthetic chest CT of healthy, COVID-19-like and bacterial-like patients.

    Good for trying the program, for tests, and to teach a network what a lesion is; never evidence
    of how well it diagnoses people. With --into, all but the lesions is real: what comes out is
    patients' data, as what went in was.

    Example: deeppneumonia phantom --out phantoms --patients 2

    Example: deeppneumonia phantom --into data/split.csv --out data/painted
    """
    if into:
        _paint(into, out, copies=copies, seed=seed, quiet=quiet)
        return
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


def _paint(into: list[Path], out: Path, *, copies: int, seed: int, quiet: bool) -> None:
    from deeppneumonia.workflows.painted import paint_manifests

    with progress_bar("studies", quiet=quiet) as progress:
        manifest = paint_manifests(into, out, copies=copies, seed=seed, progress=progress)
    typer.echo(manifest)
