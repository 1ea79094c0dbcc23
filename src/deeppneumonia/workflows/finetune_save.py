"""The checkpoint that fine-tuning leaves: its own head, calibration and idea of who is unlike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.evaluation import choose_confidence_threshold
from deeppneumonia.evaluation.patients import label_of_patients
from deeppneumonia.inference.outliers import limit_for
from deeppneumonia.inference.trust import statistics_of
from deeppneumonia.training.final_layer import with_head
from deeppneumonia.workflows.calibration import operating_levels
from deeppneumonia.workflows.hospital import Reading
from deeppneumonia.workflows.train import commit
from deeppneumonia.workflows.tuning import Slices, Tuned


@dataclass(frozen=True, slots=True)
class Made:
    """What fine-tuning came to, and on whom."""

    tuned: Tuned
    held_out: NDArray[np.float64]
    """(P, C): calibrated answers for each patient by a head that never saw that patient."""

    features: NDArray[np.float32]
    """(n, F) of the new hospital's slices."""

    known: Slices
    """The same slices."""


def save_tuned(reading: Reading, made: Made, result: Mapping[str, Any], path: Path) -> str:
    """Write the new checkpoint, with the old one named in its provenance; returns its sha256.

    Thresholds are chosen on the held-out answers.
    """
    old, known = reading.checkpoint.metadata, made.known
    with_head(reading.checkpoint.network, reading.layer, made.tuned.head)
    _, labels, _ = label_of_patients(known.labels, known.patients.tolist())
    chosen = choose_confidence_threshold(labels, made.held_out)
    told = {
        "from_sha256": reading.checkpoint.sha256,
        "manifest_sha256": result["manifest_sha256"],
        "patients": result["patients"],
        "what": result["written"],
        "version": version("deeppneumonia"),
        "commit": commit(),
    }
    validation = {
        "patients": len(labels),
        "answered": chosen.answered,
        "accuracy_of_answered": chosen.accuracy,
    }
    row = result["rows"][result["written"]]
    metadata = replace(
        old,
        temperature=made.tuned.temperature,
        thresholds=replace(
            old.thresholds,
            confidence=chosen.threshold,
            operating_points=operating_levels(labels, made.held_out),
        ),
        ood=with_hospital_inside(old, made.features, known.patients),
        provenance={**old.provenance, "finetuned": told},
        metrics={**old.metrics, "validation": validation, "finetuned": row},
    )
    return save_checkpoint(path, reading.checkpoint.network, metadata)


def with_hospital_inside(
    metadata: CheckpointMetadata, features: NDArray[np.float32], patients: NDArray[np.str_]
) -> Mapping[str, Any] | None:
    """The old statistics of training patients, whose limit now holds the new hospital's patients.

    A hospital that looks unlike the old one would otherwise get no answer, however well tuned.
    The limit only grows, by the same rule of split conformal prediction that first set it.

    Args:
        metadata: of the old checkpoint; where it has no statistics, neither has the new one.
        features: (n, F) of the new hospital's slices.
        patients: (n,).
    """
    statistics = statistics_of(metadata)
    if statistics is None:
        return None
    distances = [
        statistics.distance(features[patients == patient]).value for patient in np.unique(patients)
    ]
    limit = max(statistics.limit, limit_for(np.array(distances)))
    return replace(statistics, limit=limit).to_json()
