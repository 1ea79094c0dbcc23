"""`deeppneumonia evaluate`: a checkpoint against a manifest of labelled patients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.cli.console import (
    AsJson,
    CheckpointName,
    Device,
    LabelMap,
    ManifestFolder,
    Quiet,
    print_json,
    print_scores,
    remark,
    renaming,
    score_cell,
)
from deeppneumonia.cli.progress import progress_bar
from deeppneumonia.domain.wording import counted

Trust = Annotated[
    bool,
    typer.Option("--trust", help="Also say what the network relies on: trust.html and trust.json."),
]


def evaluate(
    manifest: Annotated[
        list[Path], typer.Option("--manifest", "-m", help="CSV; may be given several times.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics and figures.")],
    checkpoint: CheckpointName = "default",
    data: ManifestFolder = None,
    part: Annotated[
        str | None, typer.Option("--split", help="Only rows whose split is this word.")
    ] = None,
    label_map: LabelMap = None,
    trust: Trust = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score a checkpoint on labelled patients, beside six grey-level statistics.

    Writes metrics.json (slice and patient level, with patient-bootstrap intervals),
    predictions.csv, slices.csv and figures. Patients who got no answer stay in the tables.
    With --trust also a page that says in plain words what the network relies on, and whether it
    knows when not to answer; it shows the network 17 versions of each of up to 180 slices, which
    takes minutes.

    Example: deeppneumonia evaluate -c default -m hospital/manifest.csv --out scores
    """
    from deeppneumonia.workflows.evaluate import evaluate_manifests

    with progress_bar("slices", quiet=quiet) as progress:
        metrics = evaluate_manifests(
            checkpoint,
            manifest,
            out,
            data=data,
            split=part,
            label_map=renaming(label_map),
            device=device,
            progress=progress,
            trust=trust,
        )
    if as_json:
        print_json(metrics)
        return
    if in_training := metrics["training_patients"]:
        remark(
            f"Among the scored patients {counted(in_training, 'is', 'are')} of the training part "
            f"of this split: name the part to score with --split test.",
            quiet=quiet,
        )
    _print_table(metrics)
    if without := _without_answer(metrics):
        remark(without, quiet=quiet)
    remark(_calibration(metrics), quiet=quiet)
    if metrics["interval"]["remark"]:
        remark(metrics["interval"]["remark"], quiet=quiet)
    remark(f"tables and figures in {out}", quiet=quiet)
    if trust:
        remark(f"what the network relies on: {out / 'trust.html'}", quiet=quiet)


def _without_answer(metrics: dict[str, Any]) -> str:
    """Who is in no score, and why most of what is missing is; blank where all are."""
    patients = metrics["coverage"]["patient"]
    missing = patients["total"] - patients["answered"]
    if not missing:
        return ""
    reason, count = max(metrics["refusals"].items(), key=lambda one: one[1])
    often = "once" if count == 1 else f"{count} times"
    return (
        f"{missing} of {counted(patients['total'], 'patient')} got no answer and "
        f"{'is' if missing == 1 else 'are'} in no score; the most frequent reason, "
        f"{often}: {reason}; all are in slices.csv"
    )


def _calibration(metrics: dict[str, Any]) -> str:
    """The calibration error beside that of probabilities which are true."""
    found, chance = metrics["patient"]["ece"], metrics["patient_ece_by_chance"]
    return (
        f"calibration error (ECE) of the patients {score_cell(found)}; were every probability "
        f"true, as many patients would show {score_cell(chance)} by chance"
    )


def _print_table(metrics: dict[str, Any]) -> None:
    rows = {
        "patients": metrics["patient"],
        "slices": metrics["slice"],
        "six statistics (patients)": metrics["baselines"]["six_statistics"].get("patient", {}),
    }
    print_scores("", 28, rows)
