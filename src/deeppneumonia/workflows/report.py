"""A reading as files: what the report says of the model comes from its checkpoint."""

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.domain import PatientDiagnosis, title_of
from deeppneumonia.reports import ReportContext, write_outputs
from deeppneumonia.workflows.diagnose import Reading
from deeppneumonia.workflows.releases import release_name


def write_reading(reading: Reading, checkpoint: Checkpoint, folder: Path) -> tuple[Path, ...]:
    """Write result.json, report.html, report.pdf, the key slices and, for DICOM, DICOM objects.

    Raises:
        OutputError: if the folder cannot be written to.
    """
    context = context_of(reading, checkpoint)
    return write_outputs(reading.diagnosis, reading.key_slices, folder, context)


def context_of(reading: Reading, checkpoint: Checkpoint) -> ReportContext:
    """What a report made now has to know beside the diagnosis."""
    return ReportContext(
        version=version("deeppneumonia"),
        created=datetime.now().astimezone(),
        release=release_name(checkpoint.sha256),
        volume=reading.volume,
        about=reading.about,
        detail_level=checkpoint.metadata.thresholds.detail,
        trained_on=(*trained_on(checkpoint), *operating_points(checkpoint, reading.diagnosis)),
    )


def trained_on(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Whom the model learned from and how it was checked, in whole sentences."""
    provenance, metrics = checkpoint.metadata.provenance, checkpoint.metadata.metrics
    sentences = [*_patients(provenance), *_validation(metrics)]
    sentences.extend(str(remark) for remark in provenance.get("remarks", ()))
    return tuple(sentences)


def operating_points(checkpoint: Checkpoint, diagnosis: PatientDiagnosis) -> tuple[str, ...]:
    """The levels for those who must not miss the first class, and on which side this patient is."""
    label = checkpoint.metadata.classes.labels[0]
    found = diagnosis.probabilities.get(label)
    return tuple(
        f"Operating point for {point.target:.0%} sensitivity: a probability of {title_of(label)} "
        f"of {point.threshold:.1%} or more found {point.sensitivity:.0%} of the validation "
        f"patients who have it and left {point.specificity:.0%} of the others alone"
        + ("." if found is None else f"; this patient lies {_side(found, point.threshold)} it.")
        for point in checkpoint.metadata.thresholds.operating_points
    )


def _side(probability: float, threshold: float) -> str:
    return "on or above" if probability >= threshold else "below"


def _patients(provenance: Mapping[str, Any]) -> list[str]:
    counts = provenance.get("patients", {}).get("train")
    if not counts:
        return ["The checkpoint does not say which patients it was trained on."]
    words = ", ".join(f"{count} {title_of(label)}" for label, count in counts.items())
    made = ", ".join(f"{count} {site}" for site, count in provenance.get("made", {}).items())
    beside = f" Beside them it learned from made-up patients: {made}." if made else ""
    return [f"The model was trained on these patients: {words}.{beside}"]


def _validation(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("validation")
    if not found:
        return []
    return [
        f"Its probabilities and thresholds were set on {found['patients']} other patients; of the "
        f"{found['answered']:.0%} of them that it answers, {found['accuracy_of_answered']:.0%} "
        f"are answered right."
    ]
