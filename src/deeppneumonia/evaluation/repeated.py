"""Scores of a model that answered several times: each metric is the mean over the repeats.

Several answers come from repeated cross-validation (each patient is tested once in every repeat)
and from several fitted models asked about the same foreign patients. The intervals draw patients
again, and a patient takes all its answers along, so repeats never make an interval narrower than
the number of patients allows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.bootstrap import REPEATS, IntervalScores, with_intervals
from deeppneumonia.evaluation.metrics import (
    METRICS,
    PER_CLASS,
    Floats,
    check_names,
    confusion_matrices,
    weighted_scores,
)
from deeppneumonia.evaluation.patients import checked


def mean_scores(
    labels: NDArray[np.integer],
    answers: NDArray[np.floating],
    groups: Sequence[str],
    class_names: Sequence[str],
    *,
    draws: int = REPEATS,
    seed: int = 0,
) -> IntervalScores:
    """Every metric as a mean over the repeats, with its interval over patients.

    Args:
        labels: (n,) class indices.
        answers: (R, n, C): R answers for each of n rows, none refused.
        groups: n patient keys; at patient level each stands once.
        class_names: C words.
        draws: how often the patients are drawn again.
        seed: the same seed gives the same draws for the same patients.

    Raises:
        ValueError: if a patient has two labels, or the arrays do not fit together.
    """
    for one in answers:
        checked(labels, one, groups)
        check_names(class_names, one)
    indices = labels.astype(np.int64)
    return with_intervals(
        lambda weights: _mean(indices, answers, weights),
        indices,
        groups,
        class_names,
        repeats=draws,
        seed=seed,
    )


def mean_confusion(labels: NDArray[np.integer], answers: NDArray[np.floating]) -> Floats:
    """(C, C): rows are the truth, columns the decision; the mean over the repeats."""
    ones = np.ones((1, len(labels)))
    matrices = [
        confusion_matrices(labels.astype(np.int64), one.astype(np.float64), ones)[0]
        for one in answers
    ]
    mean: Floats = np.mean(matrices, axis=0)
    return mean


def _mean(
    labels: NDArray[np.int64], answers: NDArray[np.floating], weights: Floats
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """METRICS as (D,) each, and PER_CLASS as (D, C) each, for weights (D, n)."""
    scored = [weighted_scores(labels, one.astype(np.float64), weights) for one in answers]
    overall = {name: np.mean([one[name] for one, _ in scored], axis=0) for name in METRICS}
    per_class = {name: np.mean([one[name] for _, one in scored], axis=0) for name in PER_CLASS}
    return overall, per_class
