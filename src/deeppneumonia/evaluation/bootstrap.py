"""How sure a metric is: intervals from drawing the patients again, with all their slices.

A patient is the unit of chance, so patients are resampled with replacement, inside their class
(the numbers of each class are a choice of the study, not chance), and every slice follows its
patient. The interval is the percentile one, 95 % (Efron and Tibshirani 1993, chapter 13). It knows
only the errors that happened: a metric that is perfect here gets the interval [1, 1]. For ECE the
draws lie above the value, as every small sample does: read its interval as an upper limit.

Where a class has one patient, every draw holds that patient: nothing is known of how others of its
kind would differ, and there is no interval.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.metrics import (
    METRICS,
    PER_CLASS,
    Floats,
    check_names,
    defined,
    weighted_auc,
    weighted_scores,
)
from deeppneumonia.evaluation.patients import checked, is_answered, label_of_patients

PERCENTILES = (2.5, 97.5)
REPEATS = 2000
WEIGHTS_AT_ONCE = 1_000_000  # 8 MB a matrix: what stays near the processor is quick


class Interval(TypedDict):
    """A metric and its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class IntervalScores:
    """Every metric of one set of answered rows, with its interval."""

    metrics: Mapping[str, Interval]
    """One for each of METRICS."""

    per_class: Mapping[str, Mapping[str, Interval]]
    """For each class, against the rest, each of PER_CLASS."""


def score_with_intervals(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    groups: Sequence[str],
    class_names: Sequence[str],
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> IntervalScores:
    """Score the answered rows, slices or patients, with intervals over patients.

    Args:
        labels: (n,) class indices.
        probabilities: (n, C); rows of NaN are refusals and are left out.
        groups: n patient keys; at patient level each stands once.
        class_names: C words.
        repeats: how often the patients are drawn again.
        seed: the same seed gives the same draws for the same patients.

    Raises:
        ValueError: if a patient has two labels, or the arrays do not fit together.
    """
    labels, probabilities = checked(labels, probabilities, groups)
    check_names(class_names, probabilities)
    answered = is_answered(probabilities)
    if not answered.any():
        return nothing_answered(class_names)
    labels, probabilities = labels[answered], probabilities[answered]
    groups = [group for group, kept in zip(groups, answered, strict=True) if kept]
    return with_intervals(
        lambda weights: weighted_scores(labels, probabilities, weights),
        labels,
        groups,
        class_names,
        repeats=repeats,
        seed=seed,
    )


def with_intervals(
    score: Callable[[Floats], tuple[dict[str, Floats], dict[str, Floats]]],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    class_names: Sequence[str],
    *,
    repeats: int,
    seed: int,
) -> IntervalScores:
    """What `score` gives with every row counted once, and its interval over the patients' draws.

    Args:
        score: from weights (D, n) to METRICS as (D,) each, and PER_CLASS as (D, C) each.
        labels: (n,) class indices.
        groups: n patient keys.
        class_names: C words.
        repeats: how often the patients are drawn again.
        seed: of the draws.
    """
    value, value_per_class = score(np.ones((1, len(labels))))
    undrawn = np.full((1, len(class_names)), np.nan)
    draws = [(dict.fromkeys(METRICS, undrawn[:, 0]), dict.fromkeys(PER_CLASS, undrawn))]
    if not lone_classes(labels, groups):
        draws = [score(each) for each in patient_draws(labels, groups, repeats=repeats, seed=seed)]
    drawn = {name: np.concatenate([one[name] for one, _ in draws]) for name in METRICS}
    of_classes = {name: np.concatenate([one[name] for _, one in draws]) for name in PER_CLASS}
    return IntervalScores(
        metrics={name: interval(value[name][0], drawn[name]) for name in METRICS},
        per_class={
            word: {
                name: interval(value_per_class[name][0, c], of_classes[name][:, c])
                for name in PER_CLASS
            }
            for c, word in enumerate(class_names)
        },
    )


def auc_difference(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    others: NDArray[np.floating],
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """AUC of one model minus AUC of another on the same patients, each draw taken by both.

    Args:
        labels: (P,) class index of each patient.
        probabilities: (P, C) answers of the first model, none refused.
        others: (P, C) answers of the second.
    """
    labels, first = checked(labels, probabilities, ["" for _ in labels])
    _, second = checked(labels, others, ["" for _ in labels])

    def difference(weights: Floats) -> Floats:
        return weighted_auc(labels, first, weights) - weighted_auc(labels, second, weights)

    return interval(*over_draws(labels, difference, repeats=repeats, seed=seed))


def over_draws(
    labels: NDArray[np.int64], measure: Callable[[Floats], Floats], *, repeats: int, seed: int
) -> tuple[float, Floats]:
    """What `measure` gives for P patients, each counted once, and for each draw of them (R,).

    The draws are NaN where a class has one patient.

    Args:
        labels: (P,) class index of each patient.
        measure: from weights (D, P) to (D,).
        repeats: R, how often the patients are drawn again.
        seed: of the draws.
    """
    patients = [f"{row:09d}" for row in range(len(labels))]
    value = float(measure(np.ones((1, len(labels))))[0])
    if lone_classes(labels, patients):
        return value, np.full(repeats, np.nan)
    draws = patient_draws(labels, patients, repeats=repeats, seed=seed)
    return value, np.concatenate([measure(weights) for weights in draws])


def lone_classes(labels: NDArray[np.int64], groups: Sequence[str]) -> list[int]:
    """The classes that have one patient: as long as there are any, there are no intervals."""
    _, patient_labels, _ = label_of_patients(labels, groups)
    classes, counts = np.unique(patient_labels, return_counts=True)
    return [int(label) for label in classes[counts == 1]]


def patient_draws(
    labels: NDArray[np.int64], groups: Sequence[str], *, repeats: int, seed: int
) -> Iterator[Floats]:
    """How often each of n rows counts in each draw: pieces (r, n) that make `repeats` together."""
    patients, patient_labels, patient_of_row = label_of_patients(labels, groups)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((repeats, len(patients)))  # (R, P)
    for label in np.unique(patient_labels):
        members = np.flatnonzero(patient_labels == label)
        even = np.full(len(members), 1 / len(members))
        drawn[:, members] = rng.multinomial(len(members), even, size=repeats)
    step = max(1, WEIGHTS_AT_ONCE // len(labels))
    for start in range(0, repeats, step):
        yield drawn[start : start + step][:, patient_of_row]


def interval(value: float, drawn: Floats) -> Interval:
    """The value with the percentiles of its draws (R,), if there are any and all are defined."""
    undrawn = not len(drawn) or np.isnan(drawn).any()
    low, high = (np.nan, np.nan) if undrawn else np.percentile(drawn, PERCENTILES)
    return Interval(value=defined(value), low=defined(low), high=defined(high))


def undefined() -> Interval:
    """What stands for a metric that cannot be measured at all."""
    return Interval(value=None, low=None, high=None)


def nothing_answered(class_names: Sequence[str]) -> IntervalScores:
    """The scores of a set in which every row is a refusal."""
    nothing = undefined()
    return IntervalScores(
        metrics=dict.fromkeys(METRICS, nothing),
        per_class={word: dict.fromkeys(PER_CLASS, nothing) for word in class_names},
    )
