"""Probabilities that mean what they say, and the thresholds that follow; all at patient level.

Everything here is fitted on the patients of the validation split and never on those of the test.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from deeppneumonia.evaluation.bootstrap import REPEATS, Interval, interval, undefined
from deeppneumonia.evaluation.metrics import (
    CALIBRATION_BINS,
    Floats,
    confidence_bin,
    rightness,
)
from deeppneumonia.evaluation.patients import checked, is_answered

SMALLEST_PROBABILITY = 1e-7  # below what a float32 softmax can tell from 0
TEMPERATURES = (0.05, 20.0)
TARGET_ACCURACY = 0.95
MOST_UNANSWERED = 0.05
SENSITIVITIES = (0.90, 0.95)


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """How often the answer was right, bin by bin of how sure it was; empty bins hold NaN."""

    edges: Floats
    """(B + 1,): from 0 to 1, bins of equal width."""

    confidence: Floats
    """(B,): mean probability of the decided class."""

    accuracy: Floats
    """(B,): share of right decisions."""

    counts: NDArray[np.int64]
    """(B,): rows."""


@dataclass(frozen=True, slots=True)
class ConfidenceThreshold:
    """From which top probability on a patient gets an answer, and what that did on validation."""

    threshold: float
    """A patient whose top probability is below this is indeterminate."""

    answered: float
    """Share of the patients that were answered."""

    accuracy: float
    """Share of the answers that were right."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold on the probability of the positive class, and what it gave where it was made."""

    threshold: float
    """Positive means a probability of this or more."""

    sensitivity: float
    specificity: float


def fit_temperature(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """The temperature whose calibrated probabilities make the true labels most likely.

    Minimises the negative log likelihood (Guo et al. 2017) with targets (N + 1)/(N + 2) for the
    true class of N patients instead of 1 (Platt 1999): without it a validation split that happens
    to be told apart without error would ask for certainty.

    Args:
        labels: (P,) class index of each validation patient.
        probabilities: (P, C) mean probabilities of the patient's slices; NaN rows are left out.

    Returns:
        0.05 to 20; above 1 where the network was too sure of itself.
    """
    labels, probabilities = _answers(labels, probabilities)
    targets = _smoothed(labels, probabilities.shape[1])
    logits = np.log(probabilities.clip(SMALLEST_PROBABILITY))

    def surprise(log_temperature: float) -> float:
        return -float((targets * log_softmax(logits / np.exp(log_temperature), axis=1)).sum())

    best = minimize_scalar(surprise, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(best.x))


def calibrate(probabilities: NDArray[np.floating], temperature: float) -> Floats:
    """softmax(log(p) / T) of each row of mean slice probabilities (n, C); NaN rows stay NaN.

    >>> calibrate(np.array([[0.8, 0.2]]), 2.0).round(3)  # odds 4 become odds 2
    array([[0.667, 0.333]])
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be more than 0, not {temperature}")
    logits = np.log(np.asarray(probabilities, np.float64).clip(SMALLEST_PROBABILITY))
    calibrated: Floats = softmax(logits / temperature, axis=1)
    return calibrated


def reliability_curve(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> ReliabilityCurve:
    """Top-label confidence against accuracy in 15 bins of equal width, for the answered rows."""
    labels, probabilities = _answers(labels, probabilities)
    confidence, correct = probabilities.max(axis=1), rightness(labels, probabilities)
    in_bin = np.eye(CALIBRATION_BINS)[confidence_bin(confidence)]  # (n, B)
    counts = in_bin.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is the NaN that we want
        return ReliabilityCurve(
            edges=np.linspace(0, 1, CALIBRATION_BINS + 1),
            confidence=confidence @ in_bin / counts,
            accuracy=correct @ in_bin / counts,
            counts=counts.astype(np.int64),
        )


def ece_by_chance(
    probabilities: NDArray[np.floating], *, repeats: int = REPEATS, seed: int = 0
) -> Interval:
    """The calibration error that these probabilities would show if every one of them were true.

    In a bin of few patients the share of right decisions differs from their confidence by chance,
    and the error counts that too: of some dozens of patients none can have one near 0.

    Args:
        probabilities: (n, C), calibrated; NaN rows are left out.
        repeats: how often right and wrong are drawn by them.
        seed: of the draws.

    Returns:
        The mean of the draws, and the middle 95 % of them; undefined without an answer.
    """
    confidence = probabilities[is_answered(probabilities)].max(axis=1, initial=0)  # (n,)
    if not len(confidence):
        return undefined()
    rng, bins = np.random.default_rng(seed), confidence_bin(confidence)
    errors = np.empty(repeats)
    for draw in range(repeats):
        surplus = (rng.random(len(confidence)) < confidence) - confidence  # right, minus expected
        errors[draw] = np.abs(np.bincount(bins, surplus)).sum() / len(confidence)
    return interval(float(errors.mean()), errors)


def choose_confidence_threshold(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    *,
    left_open: NDArray[np.bool_] | None = None,
    target_accuracy: float = TARGET_ACCURACY,
    most_unanswered: float = MOST_UNANSWERED,
) -> ConfidenceThreshold:
    """Below which confidence to say "indeterminate", from calibrated validation patients.

    The threshold starts at 0 and rises from one patient's confidence to the next until the answers
    are right often enough, or until one more step would leave more than `most_unanswered` of the
    patients without an answer, those counted who have none whatever the threshold.

    Args:
        labels: (P,) class indices.
        probabilities: (P, C), calibrated; NaN rows are left out.
        left_open: (P,): who gets no answer for another reason; nobody when None.
        target_accuracy: share of right answers at which the threshold stops.
        most_unanswered: share of patients that may be left without an answer.
    """
    asked = is_answered(probabilities)
    others = np.ones(asked.sum(), bool) if left_open is None else ~left_open[asked]
    labels, probabilities = _answers(labels, probabilities)
    confidence, correct = probabilities.max(axis=1), rightness(labels, probabilities)
    accuracy = float(correct[others].mean()) if others.any() else 0.0
    chosen = ConfidenceThreshold(threshold=0.0, answered=float(others.mean()), accuracy=accuracy)
    for step in np.unique(confidence[others])[1:]:
        answered = others & (confidence >= step)
        if chosen.accuracy >= target_accuracy or answered.mean() < 1 - most_unanswered:
            break
        chosen = ConfidenceThreshold(
            threshold=float(step),
            answered=float(answered.mean()),
            accuracy=float(correct[answered].mean()),
        )
    return chosen


def operating_points(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    *,
    sensitivities: Sequence[float] = SENSITIVITIES,
) -> tuple[OperatingPoint, ...]:
    """For each sensitivity, the highest threshold on class 0 that reaches it.

    Args:
        labels: (P,) 0 for the positive class; the others are the rest, against which it stands.
        probabilities: (P, C), calibrated; NaN rows are left out.

    Raises:
        ValueError: unless there is a patient of class 0, and one of the rest.
    """
    labels, probabilities = _answers(labels, probabilities)
    if len(np.unique(labels == 0)) != 2:
        raise ValueError("operating points need a patient of the first class and one of the rest")
    positive = np.sort(probabilities[labels == 0, 0])[::-1]
    needed = [int(np.ceil(share * len(positive) - 1e-9)) for share in sensitivities]
    return tuple(
        at_threshold(labels, probabilities, float(positive[max(count, 1) - 1])) for count in needed
    )


def at_threshold(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], threshold: float
) -> OperatingPoint:
    """What a threshold on class 0 gives on these patients; NaN rows are left out."""
    labels, probabilities = _answers(labels, probabilities)
    called = probabilities[:, 0] >= threshold
    return OperatingPoint(
        threshold=threshold,
        sensitivity=float(called[labels == 0].mean()),
        specificity=float((~called[labels != 0]).mean()),
    )


def _answers(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.int64], Floats]:
    """The answered rows; ValueError when there is none."""
    labels, probabilities = checked(labels, probabilities, ["" for _ in labels])
    answered = is_answered(probabilities)
    if not answered.any():
        raise ValueError("calibration needs answered patients, and every row is NaN")
    return labels[answered], probabilities[answered]


def _smoothed(labels: NDArray[np.int64], classes: int) -> Floats:
    """(P, C) targets: (N + 1)/(N + 2) for the true class of N patients, the rest shared."""
    patients = np.bincount(labels, minlength=classes)[labels]  # (P,)
    missing = 1 / (patients + 2)
    targets = np.repeat(missing[:, None] / (classes - 1), classes, axis=1)
    targets[np.arange(len(labels)), labels] = 1 - missing
    return targets
