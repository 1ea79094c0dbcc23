"""Refit a head on some patients, choose how boldly inside them, and measure it on others.

Everything here works on the cached inputs of the last layer; a fit takes a fraction of a second.
Patients that are tested choose nothing: neither the penalty nor the temperature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation import aggregate_by_patient, calibrate, fit_temperature
from deeppneumonia.evaluation.patients import over_classes
from deeppneumonia.evaluation.shortcuts import patient_folds
from deeppneumonia.training.anchored import LinearHead, fit_anchored
from deeppneumonia.training.heads import balanced_weights

PENALTIES = (float("inf"), 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Infinite keeps the old head. The rest was set before any new hospital was looked at."""

CAUTIOUS = 1.0
"""Where there are too few patients to choose a penalty."""

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Slices:
    """Slices of a hospital, as the last layer is given them."""

    inputs: NDArray[np.floating]
    """(n, D)."""

    labels: NDArray[np.int64]
    """(n,) class indices of the checkpoint."""

    patients: NDArray[np.str_]
    """(n,)."""

    groups: NDArray[np.str_]
    """(n,): who must not be divided; the patients themselves, or blocks of them."""

    def only(self, rows: NDArray[np.bool_]) -> "Slices":
        """Some of the slices."""
        return Slices(self.inputs[rows], self.labels[rows], self.patients[rows], self.groups[rows])

    @property
    def present(self) -> list[int]:
        """The classes at hand, in order."""
        return sorted(set(self.labels.tolist()))


@dataclass(frozen=True, slots=True)
class Tuned:
    """A head, and the temperature for its patients' probabilities."""

    head: LinearHead
    temperature: float
    penalty: float


def tune(old: LinearHead, temperature: float, known: Slices, *, seed: int) -> Tuned:
    """Refit on these patients; penalty and temperature by cross-validation among them.

    With fewer than two groups of a class nothing can be chosen: the penalty is then CAUTIOUS and
    the temperature stays.
    """
    answers = held_out_answers(old, known, seed=seed)
    if answers is None:
        return Tuned(_fit(old, known, [CAUTIOUS])[0], temperature, CAUTIOUS)
    losses = {penalty: log_loss(known, found) for penalty, found in answers.items()}
    best = min(losses, key=lambda penalty: (round(losses[penalty], 4), -penalty))
    labels, probabilities = by_patient(known, answers[best])
    return Tuned(_fit(old, known, [best])[0], fit_temperature(labels, probabilities), best)


def refreshed(old: Tuned, known: Slices) -> Tuned:
    """The old head with a temperature fitted on these patients."""
    found = fit_temperature(*by_patient(known, old.head.probabilities(known.inputs)))
    return Tuned(old.head, found, old.penalty)


def held_out_answers(
    old: LinearHead, known: Slices, *, seed: int
) -> dict[float, NDArray[np.float64]] | None:
    """For each of PENALTIES (n, C): each fold answered by a head refitted on the others.

    None with too few groups.
    """
    parts = _parts(known, seed)
    if not parts:
        return None
    answers = {penalty: np.zeros((len(known.labels), len(old.bias))) for penalty in PENALTIES}
    for fitted in parts:
        heads = _fit(old, known.only(fitted), PENALTIES)
        for penalty, head in zip(PENALTIES, heads, strict=True):
            answers[penalty][~fitted] = head.probabilities(known.inputs[~fitted])
    return answers


def nested_answers(
    old: LinearHead, temperature: float, known: Slices, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Patients of each fold by a head, and by a temperature of the old head, that never saw them.

    Returns:
        (P, C) twice, calibrated, in the order of `by_patient`: tuned, and the old head with its
        temperature refreshed; None with too few groups.
    """
    parts = _parts(known, seed)
    if not parts:
        return None
    tuned, again = (np.full((len(known.labels), len(old.bias)), np.nan) for _ in "ab")
    for fitted in parts:
        part, here = known.only(fitted), known.only(~fitted)
        tuned[~fitted] = _spread(here, tune(old, temperature, part, seed=seed))
        again[~fitted] = _spread(here, refreshed(Tuned(old, temperature, 0.0), part))
    return _by_patient_of(known, tuned), _by_patient_of(known, again)


def _parts(known: Slices, seed: int) -> list[NDArray[np.bool_]]:
    """For each fold of the groups (n,): who is fitted on; none with too few groups of a class."""
    folds = min(FOLDS, _fewest_groups(known))
    if folds < 2:
        return []
    parts = [
        np.isin(np.arange(len(known.labels)), fitted)
        for fitted, _ in patient_folds(known.labels, known.groups.tolist(), folds, seed)
    ]
    is_whole = all(known.only(fitted).present == known.present for fitted in parts)
    return parts if is_whole else []


def answers_of(tuned: Tuned, asked: Slices) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The patients of some slices, and their calibrated probabilities (P, C)."""
    probabilities = tuned.head.probabilities(asked.inputs)
    table = aggregate_by_patient(asked.labels, probabilities, asked.patients.tolist())
    return table.patients, calibrate(table.probabilities, tuned.temperature)


def calibrated_patients(
    tuned: Tuned, known: Slices
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (P,) among the classes at hand, and calibrated probabilities (P, present)."""
    labels, mean = by_patient(known, tuned.head.probabilities(known.inputs))
    return labels, calibrate(mean, tuned.temperature)


def by_patient(known: Slices, probabilities: NDArray[np.float64]) -> tuple[
    NDArray[np.int64], NDArray[np.float64]
]:  # fmt: skip
    """Labels (P,) and mean probabilities (P, present) over the classes at hand.

    The mean over the slices comes first, as where a patient is diagnosed and scored: a slice that
    speaks for a class that this hospital lacks has little to say between the others.
    """
    table = aggregate_by_patient(known.labels, probabilities, known.patients.tolist())
    positions = np.searchsorted(known.present, table.labels)
    return positions, over_classes(table.probabilities, known.present)


def _by_patient_of(known: Slices, answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, C) of answers (n, C) that are the same for all slices of a patient."""
    return aggregate_by_patient(known.labels, answers, known.patients.tolist()).probabilities


def log_loss(known: Slices, probabilities: NDArray[np.float64]) -> float:
    """Mean over the classes of their patients' mean negative log-likelihood."""
    labels, mean = by_patient(known, probabilities)
    surprise = surprises(labels, mean)
    return float(np.mean([surprise[labels == label].mean() for label in np.unique(labels)]))


def surprises(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,): -log of what the true class was given."""
    given: NDArray[np.float64] = probabilities[np.arange(len(labels)), labels]
    surprise: NDArray[np.float64] = -np.log(np.clip(given, 1e-7, 1))
    return surprise


def _fewest_groups(known: Slices) -> int:
    """Groups of the class that has fewest; 0 with one class or none."""
    if len(known.present) < 2:
        return 0
    return min(len(set(known.groups[known.labels == c].tolist())) for c in known.present)


def _fit(old: LinearHead, known: Slices, penalties: Sequence[float]) -> list[LinearHead]:
    # One hospital: classes count the same, and within a class its patients.
    weights = balanced_weights(known.labels, known.patients.tolist(), ["here"] * len(known.labels))
    return fit_anchored(
        old, known.inputs, known.labels, weights, present=known.present, penalties=penalties
    )


def _spread(here: Slices, tuned: Tuned) -> NDArray[np.float64]:
    """(n, C): each slice with its patient's calibrated answer."""
    patients, answers = answers_of(tuned, here)
    place = {patient: row for row, patient in enumerate(patients)}
    return answers[[place[patient] for patient in here.patients.tolist()]]
