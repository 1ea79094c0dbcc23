"""A checkpoint against labelled patients: what it scores, beside what six grey statistics score.

Patients and slices that got no answer are never left out in silence: coverage is reported, their
rows stay in the tables with blank probabilities, and every metric is given over the answered and
again with refusals counted as undecided.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import (
    Manifest,
    SliceEntry,
    build_cache,
    join_manifests,
    read_manifests,
)
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.domain import ClassSet
from deeppneumonia.evaluation import (
    AnswerSet,
    Baseline,
    aggregate_by_patient,
    answer_set,
    calibrate,
    cross_validated_forest,
    evaluation_report,
)
from deeppneumonia.evaluation.patients import is_answered
from deeppneumonia.evaluation.plots import save_confusion, save_reliability, save_roc
from deeppneumonia.files import write_whole
from deeppneumonia.workflows.releases import open_checkpoint
from deeppneumonia.workflows.scored import (
    Scored,
    as_exported,
    cells,
    labelled,
    rows_of_split,
    score_cache,
    slice_statistics,
)
from deeppneumonia.workflows.trust import examine_trust


def evaluate_manifests(  # noqa: PLR0913  (what may be said of an evaluation on the command line)
    checkpoint_name: str | Path,
    manifests: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    split: str | None = None,
    label_map: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Score a checkpoint; writes metrics.json, predictions.csv, slices.csv and figures into `out`.

    Args:
        checkpoint_name: a released name or a path.
        manifests: CSVs of labelled slices or studies; several are joined.
        out: made where missing; also keeps the cache of cut slices.
        data: what the paths in the manifests are relative to; their own folders when None.
        split: score only the rows of this split.
        label_map: other words for labels, as {"cap": "bacterial"}.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows preprocessed, rows in all).
        trust: also write trust.json and trust.html: what the network relies on, and whether it
            knows when not to answer.

    Returns:
        What metrics.json holds.

    Raises:
        CheckpointError, ManifestError: if something that was named cannot be used, such as labels
            that the checkpoint does not know.
    """
    checkpoint = open_checkpoint(checkpoint_name)
    classes = checkpoint.metadata.classes
    named = read_manifests(manifests, folder=data, label_map=label_map)
    manifest = labelled(rows_of_split(join_manifests(named), split, "--split"), checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    cache = build_cache(manifest, checkpoint.metadata.preprocessing, out / "cache", progress)
    scored = score_cache(cache, checkpoint, device=device)
    baseline = six_statistics(manifest, checkpoint, scored, out / "cache")
    arguments = (scored.labels, scored.probabilities, scored.groups, classes.labels)
    temperature = checkpoint.metadata.temperature
    metrics = evaluation_report(
        *arguments, temperature=temperature, baselines={"six_statistics": baseline}
    )
    metrics["checkpoint"] = {"model": checkpoint.metadata.model, "sha256": checkpoint.sha256}
    metrics["manifest_sha256"] = manifest.sha256
    metrics["split"] = split
    metrics["refusals"] = _refusals(scored)
    metrics["training_patients"] = _marked_for_training(manifest)
    answers = answer_set(*arguments, temperature=temperature)
    metrics["indeterminate"] = _indeterminate(answers, scored, checkpoint)
    _write(out, metrics, answers, scored, classes)
    if trust:
        examine_trust(checkpoint, manifest, scored, out, device=device, progress=progress)
    return metrics


def _place(entry: SliceEntry) -> tuple[int, int | None]:
    """Which slice it is, whatever became of it."""
    return entry.line, entry.slice_index


def six_statistics(
    manifest: Manifest, checkpoint: Checkpoint, scored: Scored, folder: Path
) -> Baseline:
    """The shortcut baseline, on the pictures as the hospital made them.

    The forest is cross-validated on the manifest itself, so it has seen this hospital, and the
    network has not.
    """
    cache = build_cache(manifest, as_exported(checkpoint.metadata.preprocessing), folder)
    found = dict(zip(map(_place, cache.index), slice_statistics(cache), strict=True))
    nothing = np.full(6, np.nan)
    statistics = np.array([found.get(_place(entry), nothing) for entry in scored.entries])
    return cross_validated_forest(
        statistics,
        scored.labels,
        scored.groups,
        classes=scored.probabilities.shape[1],
        what="six statistics",
    )


def _refusals(scored: Scored) -> dict[str, int]:
    """How often each reason left a slice or a study without an answer; the details are cut off."""
    reasons = [
        entry.reason.partition(":")[0] for entry in scored.entries if entry.array_row is None
    ]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _marked_for_training(manifest: Manifest) -> int:
    """How many of the scored patients the manifest itself marks as training patients."""
    return len({row.patient_id for row in manifest.rows if row.split == "train"})


def _indeterminate(
    answers: AnswerSet, scored: Scored, checkpoint: Checkpoint
) -> dict[str, float | int | None]:
    """What the confidence threshold does: patients left open, and how right the others are.

    The scores count every patient; `diagnose` would call these ones indeterminate. It judges over
    all classes of the checkpoint: rescaled over fewer, a lead is larger than the one that it sees.
    """
    level = checkpoint.metadata.thresholds.confidence
    table = aggregate_by_patient(scored.labels, scored.probabilities, scored.groups)
    everything = calibrate(table.probabilities, checkpoint.metadata.temperature)
    answered = is_answered(everything)
    clear = answered & (np.nan_to_num(everything).max(axis=1) >= level)
    probabilities = answers.patients.probabilities
    right = probabilities[clear].argmax(axis=1) == answers.patients.labels[clear]
    return {
        "threshold": level,
        "patients": int((answered & ~clear).sum()),
        "accuracy_of_the_others": float(right.mean()) if len(right) else None,
    }


def _write(
    out: Path, metrics: dict[str, Any], answers: AnswerSet, scored: Scored, classes: ClassSet
) -> None:
    _draw(answers, out)
    patients = answers.patients
    _write_table(
        out / "predictions.csv",
        ["patient_id", "label", *answers.classes],
        [
            [patient, answers.classes[label], *cells(row)]
            for patient, label, row in zip(
                patients.groups, patients.labels, patients.probabilities, strict=True
            )
        ],
    )
    _write_table(
        out / "slices.csv",
        ["line", "patient_id", "label", "slice_index", "status", "reason", *classes.labels],
        [
            [
                entry.line, entry.patient_id, entry.label,
                "" if entry.slice_index is None else entry.slice_index,
                entry.status, entry.reason, *cells(row),
            ]
            for entry, row in zip(scored.entries, scored.probabilities, strict=True)
        ],
    )  # fmt: skip
    write_whole(out / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False))


def _draw(answers: AnswerSet, out: Path) -> None:
    for level, found in (("patient", answers.patients), ("slice", answers.slices)):
        save_roc(found, answers.classes, out / f"roc_{level}.png", title=f"ROC, {level} level")
        save_confusion(
            found, answers.classes, out / f"confusion_{level}.png", title=f"Confusion, {level}s"
        )
    save_reliability(answers.patients, out / "reliability.png", title="Reliability, patients")


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
