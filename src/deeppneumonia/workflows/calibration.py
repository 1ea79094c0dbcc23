"""What is fitted on the validation patients after training: temperature and thresholds."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint, CheckpointMetadata, OperatingLevel, Thresholds
from deeppneumonia.datasets import SliceCache, SliceEntry
from deeppneumonia.evaluation import (
    aggregate_by_patient,
    calibrate,
    choose_confidence_threshold,
    fit_temperature,
    operating_points,
)
from deeppneumonia.evaluation.calibration import SENSITIVITIES
from deeppneumonia.inference import TorchEngine

PHANTOM_SITE = "phantom"
"""The site of phantom patients in the manifests that `deeppneumonia phantom` writes."""


def calibrated(checkpoint: Checkpoint, cache: SliceCache, device: str) -> CheckpointMetadata:
    """Temperature and thresholds, fitted on the validation patients alone.

    Phantoms do not count, unless there is nobody else: they are easier than any person.
    """
    classes = checkpoint.metadata.classes
    everybody = cache.entries_of("validation")
    entries = tuple(entry for entry in everybody if entry.site != PHANTOM_SITE) or everybody
    answers = TorchEngine(checkpoint, device=device).run(pictures_of(cache, entries))
    labels = np.array([classes.index(entry.label) for entry in entries])
    patients = aggregate_by_patient(
        labels, answers.probabilities, [entry.patient_id for entry in entries]
    )
    temperature = fit_temperature(patients.labels, patients.probabilities)
    probabilities = calibrate(patients.probabilities, temperature)
    threshold = choose_confidence_threshold(patients.labels, probabilities)
    found = {
        "patients": len(patients.patients),
        "answered": threshold.answered,
        "accuracy_of_answered": threshold.accuracy,
    }
    return replace(
        checkpoint.metadata,
        temperature=temperature,
        thresholds=Thresholds(
            confidence=threshold.threshold,
            operating_points=operating_levels(patients.labels, probabilities),
        ),
        metrics={**checkpoint.metadata.metrics, "validation": found},
    )


def operating_levels(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[OperatingLevel, ...]:
    """Levels of 90 % and 95 % sensitivity for the first class; none where they are not defined.

    Args:
        labels: (P,) class index of each validation patient.
        probabilities: (P, C), calibrated.
    """
    if len(np.unique(labels == 0)) != 2:
        return ()
    points = operating_points(labels, probabilities, sensitivities=SENSITIVITIES)
    return tuple(
        OperatingLevel(target=target, **asdict(point))
        for target, point in zip(SENSITIVITIES, points, strict=True)
    )


def pictures_of(cache: SliceCache, entries: Sequence[SliceEntry]) -> np.ndarray[Any, Any]:
    """The pictures (n, side, side) of kept entries, in their order."""
    return cache.pictures[[entry.array_row for entry in entries if entry.array_row is not None]]
