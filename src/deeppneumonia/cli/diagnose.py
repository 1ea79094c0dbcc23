"""`deeppneumonia diagnose`: studies in, answers out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppneumonia.cli.console import (
    AsJson,
    CheckpointName,
    Device,
    OutDir,
    Quiet,
    print_json,
    remark,
)
from deeppneumonia.domain import PatientDiagnosis, Status, title_of

if TYPE_CHECKING:
    from deeppneumonia.workflows.diagnose import Diagnoser

Studies = Annotated[
    list[Path],
    typer.Argument(
        help="DICOM folder, file or zip; NIfTI, MHA or NRRD file; folder of PNG/JPEG slices. "
        "Several paths are several patients. With --workers or --shard: one folder of studies.",
        metavar="PATH...",
    ),
]
SeriesUid = Annotated[
    str | None, typer.Option(help="Series Instance UID to use instead of the one chosen by rule.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Read a folder of studies with so many processes, a model in each."),
]
Part = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only part I of N of a folder of studies: 2/8.")
]
RayWorkers = Annotated[
    int | None,
    typer.Option(min=1, help="As --workers, on the Ray cluster that this machine belongs to."),
]
EngineName = Annotated[
    str,
    typer.Option(
        help="auto, torch or openvino; auto takes the checkpoint's own engine where it has one."
    ),
]


def diagnose(
    studies: Studies,
    checkpoint: CheckpointName = "default",
    out: OutDir = None,
    series: SeriesUid = None,
    workers: Workers = None,
    shard: Part = None,
    ray_workers: RayWorkers = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Diagnose one or several chest CT studies, and write a report for each.

    With --out the folder gets result.json, report.html, report.pdf and the key slices as
    pictures (for DICOM input also the DICOM objects); several studies get a numbered folder each.
    A study that cannot be used is refused with its reason, and the exit code is 3.

    With --workers, --shard or --ray-workers PATH is a folder of studies: --out gets one file of
    answers, results.jsonl, and no reports. The same command goes on where a stopped one ended.

    Example: deeppneumonia diagnose ct_folder --out report

    Example: deeppneumonia diagnose archive --workers 8 --shard 1/4 --out answers
    """
    if workers or shard or ray_workers:
        from deeppneumonia.cli.diagnose_archive import diagnose_archive

        if len(studies) != 1 or out is None or series or (workers and ray_workers):
            raise typer.BadParameter(
                "A folder of studies is one PATH, needs --out, takes no --series, and is read "
                "with --workers or with --ray-workers."
            )
        diagnose_archive(
            studies[0], out, checkpoint, device, engine,
            workers=ray_workers or workers or 1, shard=shard, on_ray=ray_workers is not None,
            as_json=as_json, quiet=quiet,
        )  # fmt: skip
        return
    _diagnose_each(studies, checkpoint, out, series, device, engine, as_json=as_json, quiet=quiet)


def _diagnose_each(
    studies: list[Path],
    checkpoint: str,
    out: Path | None,
    series: str | None,
    device: str,
    engine: str,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from deeppneumonia.reports import check_output, to_json

    if out is not None:
        check_output(out)  # before what takes time
    from deeppneumonia.workflows.reading import start_reading

    start_reading()  # takes its second on another core while torch is imported here
    from deeppneumonia.workflows.diagnose import Diagnoser  # loads torch: only when needed

    diagnoser = Diagnoser.load(checkpoint, device=device, engine=engine)
    results = []
    for number, study in enumerate(studies, start=1):
        remark(f"[{number}/{len(studies)}] {study}", quiet=quiet or len(studies) == 1)
        folder = out if out is None or len(studies) == 1 else out / f"{number:03d}"
        results.append(_one(diagnoser, study, series, folder, show=not as_json, quiet=quiet))
    if older := _older_reports(out, 0 if len(studies) == 1 else len(studies)):
        remark(f"{out} also holds {', '.join(older)}: reports of an earlier call", quiet=quiet)
    if as_json:
        answers = [to_json(result) for result in results]
        print_json(answers[0] if len(answers) == 1 else answers)
    if any(result.status is Status.REFUSED for result in results):
        raise typer.Exit(3)


def _older_reports(out: Path | None, written: int) -> list[str]:
    """Numbered folders beyond those just written, which a reader would take for one of them."""
    if out is None:
        return []
    answers = (file.parent.name for file in out.glob("*/result.json"))
    return sorted(name for name in answers if name.isdecimal() and int(name) > written)


def _one(
    diagnoser: "Diagnoser",
    study: Path,
    series: str | None,
    folder: Path | None,
    *,
    show: bool,
    quiet: bool,
) -> PatientDiagnosis:
    from deeppneumonia.workflows.report import write_reading

    reading = diagnoser.read(study, series=series)
    if show:
        _print_answer(reading.diagnosis)
    if folder is not None:
        written = write_reading(reading, diagnoser.checkpoint, folder)
        remark(f"{len(written)} files in {folder}", quiet=quiet)
    return reading.diagnosis


def _print_answer(diagnosis: PatientDiagnosis) -> None:
    if diagnosis.status is Status.REFUSED:
        typer.secho("refused: " + " ".join(diagnosis.reasons), fg="red", err=True)
        return
    if diagnosis.diagnosis is None:
        typer.secho("indeterminate: " + " ".join(diagnosis.reasons), fg="yellow")
    for label, probability in sorted(diagnosis.probabilities.items(), key=lambda item: -item[1]):
        bar = "█" * round(20 * probability)
        typer.echo(f"{title_of(label):32}{probability:6.1%}  {bar}")
    typer.echo(f"key slices (the lowest is 0): {', '.join(map(str, diagnosis.key_slices))}")
    for flag in diagnosis.flags:
        typer.secho(f"note: {flag.message}", fg="yellow")
