"""Before and after, in numbers: the rows of the table, the learning curve, and what is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation import Interval, auc_difference, score_with_intervals
from deeppneumonia.evaluation.bootstrap import interval, over_draws
from deeppneumonia.evaluation.learning_curve import mean_auc, mean_auc_gain
from deeppneumonia.evaluation.metrics import patient_auc
from deeppneumonia.evaluation.patients import is_answered, over_classes
from deeppneumonia.workflows.draws import LEAST_TESTED, draw_patients
from deeppneumonia.workflows.tuning import (
    Slices,
    Tuned,
    answers_of,
    by_patient,
    surprises,
    tune,
)

DRAWS = 20
REPEATS = 1000
METRICS = ("auc", "accuracy", "brier", "ece")
LEAST_GAIN = 0.01
"""In log loss: the true label's probability grows by a hundredth of itself. Less is nothing, how
narrow an interval may be."""

ALIKE = 0.001
"""Probabilities that differ by less are one answer; a batch of another size moves them by 1e-5."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """The patients that every row is about."""

    labels: NDArray[np.int64]
    """(P,) positions among `classes`."""

    classes: Sequence[str]
    """The labels at hand."""

    @property
    def patients(self) -> list[str]:
        """P keys, one a row."""
        return [f"{row:09d}" for row in range(len(self.labels))]


def row_of(answered: Answered, answers: Floats, before: Floats) -> dict[str, Any]:
    """One row: metrics with intervals, mean log loss, and both gains over the old checkpoint.

    Args:
        answered: who was asked.
        answers: (P, classes), calibrated.
        before: the same by the old checkpoint as it is.
    """
    scores = score_with_intervals(
        answered.labels, answers, answered.patients, answered.classes, repeats=REPEATS
    ).metrics
    return {
        **{name: scores[name] for name in METRICS},
        "log_loss": float(surprises(answered.labels, answers).mean()),
        "auc_gain": auc_difference(answered.labels, answers, before, repeats=REPEATS),
        "log_loss_gain": log_loss_gain(answered, answers, before),
    }


def log_loss_gain(answered: Answered, answers: Floats, before: Floats) -> Interval:
    """How much less surprised `answers` is, on average over patients; more than 0 is better."""
    less = surprises(answered.labels, before) - surprises(answered.labels, answers)

    def gain(weights: Floats) -> Floats:
        mean: Floats = (weights @ less) / weights.sum(axis=1)
        return mean

    return interval(*over_draws(answered.labels, gain, repeats=REPEATS, seed=0))


def is_less_surprised(answered: Answered, answers: Floats, others: Floats) -> bool:
    """Whether log loss is lower: by LEAST_GAIN, and with the whole interval of the gain above 0."""
    gain = log_loss_gain(answered, answers, others)
    value, low = gain["value"], gain["low"]
    return value is not None and low is not None and value >= LEAST_GAIN and low > 0


def are_alike(answers: Floats) -> bool:
    """Whether all patients have one answer, as copies of a picture would: it calibrates nothing."""
    return bool(np.ptp(answers, axis=0).max() < ALIKE)


def is_better(answered: Answered, tuned: Floats, refreshed: Floats) -> bool:
    """The guard: less surprised beyond doubt, not worse at ranking, and not one answer for all.

    The old head with its calibration refreshed is what has to be beaten, or else a new temperature
    alone would pass for a new head.
    """
    tuned_auc, old_auc = (
        patient_auc(answered.labels, one, answered.patients) for one in (tuned, refreshed)
    )
    is_sure = is_less_surprised(answered, tuned, refreshed) and not are_alike(tuned)
    return is_sure and tuned_auc >= old_auc


def curve_point(before: Tuned, known: Slices, count: int, *, seed: int) -> dict[str, Any]:
    """AUC on the patients that are left when `count` are labelled, before and after; over DRAWS."""
    labels, _ = by_patient(known, before.head.probabilities(known.inputs))
    patients = sorted(set(known.patients.tolist()))
    old: list[Floats] = []
    new: list[Floats] = []
    tested: list[int] = []
    for number in range(DRAWS):
        drawn = draw_patients(known, count, np.random.default_rng([seed, count, number]))
        if drawn is None or known.only(drawn.known).present != known.present:
            continue
        tuned = tune(before.head, before.temperature, known.only(drawn.known), seed=seed)
        rest = known.only(drawn.tested)
        for answers, model in ((old, before), (new, tuned)):
            answers.append(_placed(*answers_of(model, rest), known.present, patients))
        tested.append(len(set(rest.patients.tolist())))
    if not new:
        return {
            "patients": count,
            "not_done": f"{count} labelled patients leave fewer than {LEAST_TESTED} of a label "
            f"to test on",
        }
    draws = {"repeats": REPEATS // 2, "seed": seed}
    return {
        "patients": count,
        "draws": len(new),
        "tested": float(np.mean(tested)),
        "before": mean_auc(labels, old, **draws),
        "after": mean_auc(labels, new, **draws),
        "gain": mean_auc_gain(labels, new, old, **draws),
        "log_loss_before": _mean_log_loss(labels, old),
        "log_loss_after": _mean_log_loss(labels, new),
    }


def _placed(
    found: Sequence[str], answers: Floats, present: Sequence[int], patients: Sequence[str]
) -> Floats:
    """(P, present) in the order of all patients; NaN for those who were not asked."""
    placed = np.full((len(patients), len(present)), np.nan)
    placed[np.searchsorted(patients, found)] = over_classes(answers, present)
    return placed


def _mean_log_loss(labels: NDArray[np.int64], sets: Sequence[Floats]) -> float:
    """Mean over the sets of the patients' mean negative log-likelihood."""
    means = []
    for answers in sets:
        asked = is_answered(answers)
        means.append(surprises(labels[asked], answers[asked]).mean())
    return float(np.mean(means))
