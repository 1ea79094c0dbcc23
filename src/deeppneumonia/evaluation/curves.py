"""The ROC curve, and the band in which it would lie with other patients of the same kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.answers import Answers
from deeppneumonia.evaluation.bootstrap import (
    PERCENTILES,
    REPEATS,
    Interval,
    interval,
    lone_classes,
    patient_draws,
)
from deeppneumonia.evaluation.metrics import Floats, rank_auc, weight_per_score
from deeppneumonia.evaluation.patients import is_answered

GRID = np.linspace(0, 1, 201)


@dataclass(frozen=True, slots=True)
class RocCurve:
    """One class against the rest."""

    false_positive_rate: Floats
    """(G,): from 0 to 1, at the corners of the curve."""

    true_positive_rate: Floats
    """(G,)."""

    band: tuple[Floats, Floats]
    """Lower and upper 95 % limit of the true positive rate at each false positive rate of GRID;
    NaN where a class has one patient."""

    auc: Interval


def roc_with_band(
    answers: Answers, class_index: int, *, repeats: int = REPEATS, seed: int = 0
) -> RocCurve | None:
    """The curve of the answered rows, with its band over patients; None without both kinds."""
    answered = np.flatnonzero(is_answered(answers.probabilities))
    labels = answers.labels[answered]
    positive, scores = labels == class_index, answers.probabilities[answered, class_index]
    if positive.all() or not positive.any():
        return None
    groups = [answers.groups[int(row)] for row in answered]
    ones = np.ones((1, len(labels)))
    false_rates, true_rates = roc_points(positive, scores, ones)
    curves, aucs = [], []
    for weights in patient_draws(labels, groups, repeats=repeats, seed=seed):
        pairs = zip(*roc_points(positive, scores, weights), strict=True)
        curves += [on_grid(false_rate, true_rate) for false_rate, true_rate in pairs]
        aucs.append(rank_auc(positive, scores, weights))
    low, high = np.percentile(curves, PERCENTILES, axis=0)
    if lone_classes(labels, groups):
        low = high = np.full_like(GRID, np.nan)
        aucs = [np.array([np.nan])]
    return RocCurve(
        false_positive_rate=false_rates[0],
        true_positive_rate=true_rates[0],
        band=(low, high),
        auc=interval(rank_auc(positive, scores, ones)[0], np.concatenate(aucs)),
    )


def roc_points(
    positive: NDArray[np.bool_], scores: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """False and true positive rate, (R, G + 1) each, from (0, 0) to (1, 1), for weights (R, n)."""
    order = np.argsort(-scores, kind="stable")
    rates = []
    for kind in reversed(weight_per_score(positive, scores, weights, order)):
        found = np.cumsum(np.pad(kind, ((0, 0), (1, 0))), axis=1)
        rates.append(found / found[:, -1:])
    return rates[0], rates[1]


def on_grid(false_rate: Floats, true_rate: Floats) -> Floats:
    """(201,): the curve's upper edge at each false positive rate of GRID."""
    last = np.searchsorted(false_rate, GRID, side="right") - 1
    following = np.minimum(last + 1, len(false_rate) - 1)
    run = false_rate[following] - false_rate[last]
    part = np.divide(GRID - false_rate[last], run, out=np.zeros_like(GRID), where=run > 0)
    heights: Floats = true_rate[last] + part * (true_rate[following] - true_rate[last])
    return heights
