"""Is one model better than another on the same patients? DeLong for AUC, McNemar for errors.

Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837-845, 1988; ranks after Sun and Xu,
IEEE Signal Processing Letters 21:1389-1393, 2014; McNemar, Psychometrika 12:153-157, 1947, with
the exact binomial probability. Both tests see one set of fitted models: that training again gives
another model is not in them.

Where cross-validation was repeated, a patient has several answers of one model, and the AUC is
the mean over the repeats. It is then a U-statistic still, whose components are the means of the
repeats' components, so that DeLong's variance holds for it. The macro AUC of three classes or
more is a mean likewise; its variance is taken within each class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest, rankdata

from deeppneumonia.evaluation.metrics import Floats, decisions, defined
from deeppneumonia.evaluation.patients import checked, is_answered


@dataclass(frozen=True, slots=True)
class AucTest:
    """The AUC of one model minus that of another, with DeLong's interval and p value."""

    difference: float
    low: float | None
    """Of the 95 % interval; None, as the next two, with fewer than two patients of a class."""

    high: float | None
    p_value: float | None
    """Two-sided. None too where no patient's rank is in doubt, yet the AUCs differ."""


@dataclass(frozen=True, slots=True)
class ErrorTest:
    """Who errs where the other does not."""

    only_first_right: int
    only_second_right: int
    p_value: float
    """Two-sided, exact; 1 where the two never differ."""


def delong_test(
    labels: NDArray[np.integer], first: NDArray[np.floating], second: NDArray[np.floating]
) -> AucTest:
    """Compare two models by AUC: class 0 for two classes, macro for more.

    Args:
        labels: (P,) class index of each patient; every class has one or more.
        first: (R, P, C) answers of the first model in each of R repeats, none refused.
        second: (S, P, C) answers of the second.

    >>> labels = np.array([0, 0, 1, 1])
    >>> one = np.array([[[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.1, 0.9]]])
    >>> delong_test(labels, one, one)
    AucTest(difference=0.0, low=0.0, high=0.0, p_value=1.0)
    """
    auc, components = auc_components(labels, first)
    other_auc, other_components = auc_components(labels, second)
    difference = auc - other_auc
    spread = components - other_components  # (P,): each patient's part in the difference
    variance = sum(
        len(members) * float(np.var(members, ddof=1)) if len(members) > 1 else np.nan
        for members in (spread[labels == label] for label in np.unique(labels))
    )
    error = float(np.sqrt(variance))
    reach = float(ndtri(0.975)) * error
    return AucTest(
        difference,
        defined(difference - reach),
        defined(difference + reach),
        defined(_p_value(difference, error)),
    )


def auc_components(
    labels: NDArray[np.integer], answers: NDArray[np.floating]
) -> tuple[float, Floats]:
    """The AUC, and each patient's part (P,) in it, as shares of their class.

    A positive's part is the share of negatives ranked below it, ties half, divided by the number
    of positives; a negative's part the share of positives above it, divided by the number of
    negatives. For three classes or more parts are means over the classes, each against the rest.

    Raises:
        ValueError: if a class has no patient, or an answer is missing.
    """
    repeats, _, classes = answers.shape
    for one in answers:
        checked(labels, one, ["" for _ in labels])
    if not is_answered(answers.reshape(-1, classes)).all():
        raise ValueError("a refused patient must be given an answer before models are compared")
    if absent := set(range(classes)) - set(labels.tolist()):
        raise ValueError(f"AUC needs patients of all {classes} classes; none of {sorted(absent)}")
    scored = range(1 if classes == 2 else classes)
    parts = np.zeros(len(labels))
    auc = 0.0
    for c in scored:
        positive = labels == c
        for one in answers:
            placed = _placements(positive, one[:, c])
            auc += float(placed[positive].mean()) / (repeats * len(scored))
            members = np.where(positive, positive.sum(), (~positive).sum())
            parts += placed / members / (repeats * len(scored))
    return auc, parts


def mcnemar_test(
    labels: NDArray[np.integer], first: NDArray[np.floating], second: NDArray[np.floating]
) -> ErrorTest:
    """Compare two models by their errors, a shared decision counting as one.

    Args:
        labels: (P,) class index of each patient.
        first: (R, P, C) answers of the first model; the mean over the repeats decides.
        second: (S, P, C) answers of the second.

    >>> labels = np.array([0, 0, 1])
    >>> right = np.array([[[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]])
    >>> mcnemar_test(labels, right, right[:, :, ::-1])
    ErrorTest(only_first_right=3, only_second_right=0, p_value=0.25)
    """
    one, other = (_is_right(labels, answers.mean(axis=0)) for answers in (first, second))
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    apart = only_first + only_second
    p_value = float(binomtest(only_first, apart).pvalue) if apart else 1.0
    return ErrorTest(only_first, only_second, p_value)


def _placements(positive: NDArray[np.bool_], scores: Floats) -> Floats:
    """(P,): for each patient the share of the other kind that it is ranked right against."""
    overall = rankdata(scores)
    placed = np.empty(len(scores))
    below = overall[positive] - rankdata(scores[positive])  # negatives below, ties half
    placed[positive] = below / (~positive).sum()
    below = overall[~positive] - rankdata(scores[~positive])  # positives below
    placed[~positive] = 1 - below / positive.sum()
    return placed


def _p_value(difference: float, error: float) -> float:
    """Of a standard normal; NaN where it is not defined."""
    if error > 1e-12:  # below is rounding alone: the smallest step of a rank is far larger
        return float(2 * ndtr(-abs(difference) / error))
    return 1.0 if error <= 1e-12 and abs(difference) <= 1e-12 else np.nan


def _is_right(labels: NDArray[np.integer], probabilities: Floats) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = decisions(probabilities)[np.arange(len(labels)), labels] == 1
    return right
