"""The part of `deeppneumonia diagnose` that reads a folder of studies."""

import os
from pathlib import Path

import typer

from deeppneumonia.cli.console import print_json, remark, show_error
from deeppneumonia.cli.progress import progress_bar
from deeppneumonia.domain.wording import counted


def diagnose_archive(
    folder: Path,
    out: Path,
    checkpoint: str,
    device: str,
    engine: str,
    *,
    workers: int,
    shard: str | None,
    on_ray: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Answer for every study of a folder, and say what it came to; exit code 1 if any failed."""
    from deeppneumonia.workflows import archive
    from deeppneumonia.workflows.releases import open_checkpoint
    from deeppneumonia.workflows.study_process import ModelChoice

    part = archive.Shard() if shard is None else archive.Shard.parse(shard)
    model_sha256 = open_checkpoint(checkpoint).sha256
    cores = len(os.sched_getaffinity(0))
    threads = 1 if on_ray else max(1, cores // workers)
    with progress_bar("diagnosing studies", quiet=quiet) as progress:
        outcome = archive.diagnose_archive(
            folder, out, ModelChoice(checkpoint, device, engine, threads),
            model_sha256=model_sha256, workers=workers, shard=part, on_ray=on_ray,
            progress=progress,
        )  # fmt: skip
    for study, reason in outcome.failed.items():
        show_error(f"{study} has no answer: {reason}")
    if as_json:
        print_json(outcome.summary())
    else:
        studies = counted(outcome.studies, "study", "studies")
        found = ", ".join(f"{count} {status}" for status, count in outcome.counts.items())
        remark(f"{studies} in {outcome.seconds:.0f} s: {found}", quiet=quiet)
        typer.echo(outcome.results)
    if outcome.failed:
        raise typer.Exit(1)
