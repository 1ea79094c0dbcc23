"""How right the probabilities are: each metric for one weighted sample, or for many at once.

Every function takes weights (R, n), how often row i counts in repeat r, and returns R values. Ones
give the plain metric; the counts of a bootstrap give R resampled metrics in one matrix product.

Conventions:
    positive class  two classes: class index 0 (covid in our class order); AUC, recall, precision,
                    F1, specificity and PR-AUC are about it. More classes: each class against the
                    rest, then the plain mean over the classes (macro).
    decision        the most probable class, which for two classes is the threshold 0.5. Exactly
                    equal probabilities share the decision: 1/2 or 1/C of a count each.
    AUC             probability that a positive row ranks above a negative one, a tie counting half.
    PR-AUC          average precision: precision summed over the steps of recall.
    ECE             top-label calibration error in 15 bins of equal width (Guo et al. 2017).
    Brier           two classes: mean (p - y)^2 of the positive class, 0 to 1; more: summed over
                    the classes, 0 to 2.
    absent class    without rows of a class nothing about it is defined: NaN here, None in Scores.
    never decided   a class that is present but never chosen has precision 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.patients import aggregate_by_patient, checked, is_answered

Floats = NDArray[np.float64]

RANKING = ("auc", "pr_auc")
DECISION = ("recall", "precision", "f1", "specificity")
PER_CLASS = RANKING + DECISION
METRICS = ("auc", "recall", "precision", "f1", "accuracy", "specificity", "pr_auc", "ece", "brier")
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Scores:
    """Every metric of one set of answered rows."""

    metrics: Mapping[str, float | None]
    """One value for each of METRICS; None where it is not defined."""

    per_class: Mapping[str, Mapping[str, float | None]]
    """For each class, against the rest, each of PER_CLASS."""

    confusion: Floats
    """(C, C): rows are the truth, columns the decision; whole numbers unless decisions tie."""


def score(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], class_names: Sequence[str]
) -> Scores:
    """Score the answered rows; the conventions are those of the module.

    Args:
        labels: (n,) class indices.
        probabilities: (n, C); rows of NaN are refusals and are left out.
        class_names: C words.

    Raises:
        ValueError: if the arrays do not fit together.
    """
    labels, probabilities = checked(labels, probabilities, ["" for _ in labels])
    check_names(class_names, probabilities)
    answered = is_answered(probabilities)
    labels, probabilities = labels[answered], probabilities[answered]
    weights = np.ones((1, len(labels)))
    overall, per_class = weighted_scores(labels, probabilities, weights)
    return Scores(
        metrics={name: defined(overall[name][0]) for name in METRICS},
        per_class={
            name: {metric: defined(per_class[metric][0, index]) for metric in PER_CLASS}
            for index, name in enumerate(class_names)
        },
        confusion=confusion_matrices(labels, probabilities, weights)[0],
    )


def patient_auc(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], groups: Sequence[str]
) -> float:
    """AUC of the patients' mean probabilities: class 0 for two classes, macro for more.

    Args:
        labels: (n,) class index of each slice.
        probabilities: (n, C), all of them answered.
        groups: n patient keys.

    Raises:
        ValueError: if a class has no patient, a slice has no answer, or a patient two labels.

    >>> patient_auc(np.array([0, 1]), np.array([[0.6, 0.4], [0.3, 0.7]]), ["a", "b"])
    1.0
    """
    refused = int((~is_answered(np.asarray(probabilities))).sum())
    if refused:
        raise ValueError(f"{refused} of {len(labels)} rows of probabilities are NaN")
    table = aggregate_by_patient(labels, probabilities, groups)
    classes = table.probabilities.shape[1]
    absent = sorted(set(range(classes)) - set(table.labels.tolist()))
    if absent:
        raise ValueError(f"AUC needs patients of all {classes} classes; there are none of {absent}")
    weights = np.ones((1, len(table.patients)))
    return float(weighted_auc(table.labels, table.probabilities, weights)[0])


def weighted_scores(
    labels: NDArray[np.int64], probabilities: Floats, weights: Floats
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """METRICS as (R,) each, and PER_CLASS as (R, C) each, for weights (R, n)."""
    classes = probabilities.shape[1]
    ranked = [(labels == c, probabilities[:, c], weights) for c in range(classes)]
    confusion = confusion_matrices(labels, probabilities, weights)
    per_class = {
        "auc": np.stack([rank_auc(*one) for one in ranked], axis=1),
        "pr_auc": np.stack([average_precision(*one) for one in ranked], axis=1),
        **decision_scores(confusion),
    }
    overall = {
        name: values[:, 0] if classes == 2 else values.mean(axis=1)
        for name, values in per_class.items()
    }
    hits = np.trace(confusion, axis1=1, axis2=2)
    overall["accuracy"] = _ratio(hits, confusion.sum(axis=(1, 2)))
    overall["ece"] = expected_calibration_error(labels, probabilities, weights)
    overall["brier"] = brier_score(labels, probabilities, weights)
    return overall, per_class


def rank_auc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """(R,): area under the ROC curve of scores (n,), by ranks; NaN without both kinds of row."""
    order = np.argsort(scores, kind="stable")
    of_positives, of_negatives = weight_per_score(positive, scores, weights, order)  # (R, G)
    negatives_below = np.cumsum(of_negatives, axis=1) - of_negatives
    won = (of_positives * (negatives_below + 0.5 * of_negatives)).sum(axis=1)
    return _ratio(won, of_positives.sum(axis=1) * of_negatives.sum(axis=1))


def weighted_auc(labels: NDArray[np.int64], probabilities: Floats, weights: Floats) -> Floats:
    """(R,): the AUC of METRICS alone: of class 0 for two classes, macro for more."""
    classes = probabilities.shape[1]
    scored = range(1 if classes == 2 else classes)
    mean: Floats = np.mean(
        [rank_auc(labels == c, probabilities[:, c], weights) for c in scored], axis=0
    )
    return mean


def average_precision(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """(R,): sum over the steps of recall, times the precision there; NaN without positives."""
    order = np.argsort(-scores, kind="stable")
    of_positives, of_negatives = weight_per_score(positive, scores, weights, order)  # (R, G)
    found = np.cumsum(of_positives, axis=1)
    precision = _ratio(found, found + np.cumsum(of_negatives, axis=1), undefined=0.0)
    return _ratio((of_positives * precision).sum(axis=1), of_positives.sum(axis=1))


def confusion_matrices(labels: NDArray[np.int64], probabilities: Floats, weights: Floats) -> Floats:
    """(R, C, C): weight of each pair (true class, decided class)."""
    truth = np.eye(probabilities.shape[1])[labels]  # (n, C)
    pairs = truth[:, :, None] * decisions(probabilities)[:, None, :]  # (n, C, C)
    matrices: Floats = np.tensordot(weights, pairs, axes=1)
    return matrices


def decisions(probabilities: Floats) -> Floats:
    """(n, C): 1 for the most probable class; classes that tie for it share the 1."""
    top = probabilities == probabilities.max(axis=1, keepdims=True)
    shared: Floats = top / top.sum(axis=1, keepdims=True)
    return shared


def rightness(labels: NDArray[np.integer], probabilities: Floats) -> Floats:
    """(n,): 1 where the decision is right, 0 where it is wrong, a share where classes tie."""
    right: Floats = decisions(probabilities)[np.arange(len(labels)), labels]
    return right


def decision_scores(confusion: Floats) -> dict[str, Floats]:
    """DECISION of each class against the rest as (R, C) each, from confusion (R, C, C)."""
    true_positives = np.diagonal(confusion, axis1=1, axis2=2)
    positives, decided = confusion.sum(axis=2), confusion.sum(axis=1)
    total = confusion.sum(axis=(1, 2))[:, None]
    true_negatives = total - positives - decided + true_positives
    precision = _ratio(true_positives, decided, undefined=0.0)
    f1 = _ratio(2 * true_positives, positives + decided)
    return {
        "recall": _ratio(true_positives, positives),
        "precision": np.where(positives > 0, precision, np.nan),
        "f1": np.where(positives > 0, f1, np.nan),
        "specificity": _ratio(true_negatives, total - positives),
    }


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: Floats, weights: Floats
) -> Floats:
    """(R,): sum over the bins of their share, times |accuracy - mean confidence| in them."""
    correct, confidence = rightness(labels, probabilities), probabilities.max(axis=1, initial=0)
    in_bin = np.eye(CALIBRATION_BINS)[confidence_bin(confidence)]  # (n, B)
    gaps = weights @ ((correct - confidence)[:, None] * in_bin)  # (R, B)
    return _ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def confidence_bin(confidence: Floats) -> NDArray[np.int64]:
    """(n,): the bin 0 to 14 of each confidence; a bin holds its upper edge, not its lower."""
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1
    return bins.clip(0, CALIBRATION_BINS - 1)


def brier_score(labels: NDArray[np.int64], probabilities: Floats, weights: Floats) -> Floats:
    """(R,): mean squared distance of the probabilities from the truth."""
    classes = probabilities.shape[1]
    distance = ((probabilities - np.eye(classes)[labels]) ** 2).sum(axis=1)
    if classes == 2:
        distance = distance / 2  # both classes are wrong by the same amount
    return _ratio(weights @ distance, weights.sum(axis=1))


def defined(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def check_names(class_names: Sequence[str], probabilities: Floats) -> None:
    """ValueError unless there is one name per column."""
    if len(class_names) != probabilities.shape[1]:
        raise ValueError(f"{list(class_names)} are not names for {probabilities.shape[1]} classes")


def weight_per_score(
    positive: NDArray[np.bool_], scores: Floats, weights: Floats, order: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each different score, (R, G) each, in `order`."""
    if len(order) == 0:
        return np.zeros((len(weights), 1)), np.zeros((len(weights), 1))
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    of_all, kind = weights[:, order], positive[order]
    of_positives = np.add.reduceat(of_all * kind, starts, axis=1)
    of_negatives = np.add.reduceat(of_all * ~kind, starts, axis=1)
    return of_positives, of_negatives


def _ratio(above: Floats, below: Floats, *, undefined: float = np.nan) -> Floats:
    """above / below, and `undefined` where below is 0."""
    filled = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), undefined)
    ratio: Floats = np.divide(above, below, out=filled, where=below > 0)
    return ratio
