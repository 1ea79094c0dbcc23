"""Is one model better than another on the same patients? DeLong for AUC, McNemar for errors.

Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837-845, 1988; ranks after Sun and Xu,
IEEE Signal Processing Letters 21:1389-1393, 2014; McNemar, Psychometrika 12:153-157, 1947, with
the exact binomial probability. Both tests see one set of fitted models: that training again gives
another model is not in them.

Where cross-validation was repeated, a patient has several answers of one model, and the AUC is
the mean over the repeats. It is then a U-statistic still, whose components are the means of the
repeats' components, so that DeLong's variance holds for it. The macro AUC of three classes or
more is a mean likewise; its variance is taken within each class. So is the mean of the folds' own
AUCs, in which only patients are ranked against each other that the same fitted model judged; its
variance is taken within each class of each fold (LeDell, Petersen and van der Laan, Electronic
Journal of Statistics 9:1583-1607, 2015).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest, rankdata

from deeppneumonia.evaluation.bootstrap import Interval
from deeppneumonia.evaluation.metrics import Floats, defined, rightness
from deeppneumonia.evaluation.patients import checked, is_answered


@dataclass(frozen=True, slots=True)
class AucTest:
    """The AUC of one model minus that of another, with DeLong's interval and p value."""

    difference: float
    low: float | None
    """Of the 95 % interval; None, as the next two, with a single patient of a class (in a fold)."""

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
    labels: NDArray[np.integer],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    folds: NDArray[np.integer] | None = None,
) -> AucTest:
    """Compare two models by AUC: class 0 for two classes, macro for more.

    Args:
        labels: (P,) class index of each patient; every class has one or more.
        first: (R, P, C) answers of the first model in each of R repeats, none refused.
        second: (S, P, C) answers of the second.
        folds: (R, P), where the mean of the folds' AUCs is to be compared and R is S; else all
            patients are ranked against each other.

    >>> labels = np.array([0, 0, 1, 1])
    >>> one = np.array([[[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.1, 0.9]]])
    >>> delong_test(labels, one, one)
    AucTest(difference=0.0, low=0.0, high=0.0, p_value=1.0)
    """
    auc, deviations = mean_auc(labels, first, folds)
    other_auc, other_deviations = mean_auc(labels, second, folds)
    difference = auc - other_auc
    error = float(np.sqrt(((deviations - other_deviations) ** 2).sum()))
    reach = float(ndtri(0.975)) * error
    return AucTest(
        difference,
        defined(difference - reach),
        defined(difference + reach),
        defined(_p_value(difference, error)),
    )


def auc_interval(
    labels: NDArray[np.integer],
    answers: NDArray[np.floating],
    *,
    folds: NDArray[np.integer] | None = None,
) -> Interval:
    """The AUC with DeLong's 95 % interval, cut at 0 and 1; arguments as for `delong_test`."""
    auc, deviations = mean_auc(labels, answers, folds)
    reach = float(ndtri(0.975)) * float(np.sqrt((deviations**2).sum()))
    low, high = (defined(float(np.clip(end, 0, 1))) for end in (auc - reach, auc + reach))
    return Interval(value=auc, low=low, high=high)


def mean_auc(
    labels: NDArray[np.integer],
    answers: NDArray[np.floating],
    folds: NDArray[np.integer] | None = None,
) -> tuple[float, Floats]:
    """The AUC, mean over repeats and folds, and each patient's deviation (P,) in it.

    The squares of the deviations add up to the variance of the AUC. They are NaN where a class
    has a single patient in a fold.

    Raises:
        ValueError: if a fold has no patient of a class, or an answer is missing.
    """
    groups = np.zeros(answers.shape[:2], np.int64) if folds is None else folds
    auc, deviations = 0.0, np.zeros(len(labels))
    for one, fold_of in zip(answers, groups, strict=True):
        names = np.unique(fold_of)
        for fold in names:
            chosen = np.flatnonzero(fold_of == fold)
            share = 1 / (len(answers) * len(names))
            found, parts = auc_components(labels[chosen], one[chosen])
            auc += share * found
            deviations[chosen] += share * _deviations(labels[chosen], parts)
    return auc, deviations


def auc_components(
    labels: NDArray[np.integer], answers: NDArray[np.floating]
) -> tuple[float, Floats]:
    """The AUC of answers (P, C), and each patient's part (P,) in it, as shares of their class.

    A positive's part is the share of negatives ranked below it, ties half, divided by the number
    of positives; a negative's part the share of positives above it, divided by the number of
    negatives. For three classes or more parts are means over the classes, each against the rest.

    Raises:
        ValueError: if a class has no patient, or an answer is missing.
    """
    classes = answers.shape[1]
    checked(labels, answers, ["" for _ in labels])
    if not is_answered(answers).all():
        raise ValueError("a refused patient must be given an answer before models are compared")
    if absent := set(range(classes)) - set(labels.tolist()):
        raise ValueError(f"AUC needs patients of all {classes} classes; none of {sorted(absent)}")
    scored = range(1 if classes == 2 else classes)
    auc, parts = 0.0, np.zeros(len(labels))
    for c in scored:
        positive = labels == c
        placed = _placements(positive, answers[:, c].astype(np.float64))
        auc += float(placed[positive].mean()) / len(scored)
        parts += placed / np.where(positive, positive.sum(), (~positive).sum()) / len(scored)
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
    one, other = (rightness(labels, answers.mean(axis=0)) == 1 for answers in (first, second))
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


def _deviations(labels: NDArray[np.integer], parts: Floats) -> Floats:
    """(P,): how far each part lies from its class's mean; their squares add up to the variance."""
    result = np.empty(len(parts))
    for label in np.unique(labels):
        members = labels == label
        count = int(members.sum())
        unbiased = np.sqrt(count / (count - 1)) if count > 1 else np.nan
        result[members] = unbiased * (parts[members] - parts[members].mean())
    return result


def _p_value(difference: float, error: float) -> float:
    """Of a standard normal; NaN where it is not defined."""
    if error > 1e-12:  # below is rounding alone: the smallest step of a rank is far larger
        return float(2 * ndtr(-abs(difference) / error))
    return 1.0 if error <= 1e-12 and abs(difference) <= 1e-12 else np.nan
