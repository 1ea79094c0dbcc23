"""How well labels can be guessed from evidence that shows no lung: what a network might do instead.

Evidence is a table of words, one row per picture: a random forest guesses the label of each
patient from the patients of the other folds, and the AUC of those guesses is reported with its
interval over patients. The single value that tells most is named, with the patients of each label
in each of its bands, so that a person can check the finding by eye.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.bootstrap import REPEATS, Interval, score_with_intervals, undefined
from deeppneumonia.evaluation.metrics import rank_auc
from deeppneumonia.evaluation.patients import aggregate_by_patient, label_of_patients
from deeppneumonia.evaluation.shortcuts import cross_validated_forest

GIVEN_AWAY = 0.6
"""The label is given away when the 95 % interval of the patient AUC lies above this.

Above 0.5 would be too strict: of eight looks at an honest set one would be found in five sets."""

TREES = 60
"""Enough for patients, who average several pictures; an audit asks ten questions or more."""

CATEGORIES = 30
"""Most different words of one column that are told apart; the rest count as one."""

NUMERIC_FROM = 4
"""A column of numbers with fewer different values is treated as words, which shows them apart."""

BANDS = 4


@dataclass(frozen=True, slots=True)
class Band:
    """A range of the most telling value, and who lies in it."""

    name: str
    patients: Mapping[str, int]
    """By label."""

    rows: tuple[int, ...]
    """Which rows of the evidence, so that some of them can be shown."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What one kind of evidence says about the labels."""

    auc: Interval
    """Of patients; None three times where it could not be measured."""

    per_class: Mapping[str, Interval]
    """AUC of each label against the rest."""

    patients: int
    """How many took part."""

    strongest: str
    """Name of the value that alone tells most; blank where none could be named."""

    bands: tuple[Band, ...]
    how: str
    """How it was measured, or why it could not be."""

    @property
    def measured(self) -> bool:
        """Whether there is an AUC."""
        return self.auc["value"] is not None

    @property
    def gives_away(self) -> bool:
        """Whether the label can be guessed from this, beyond chance."""
        return self.auc["low"] is not None and self.auc["low"] > GIVEN_AWAY


def guess_labels(
    evidence: Sequence[Mapping[str, str] | None],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    what: str,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Guess:
    """Guess labels from named values; None is a picture of which nothing is known.

    Args:
        evidence: n rows of values as words, blank for a missing one.
        labels: n words.
        groups: n patient keys; a patient has one label.
        what: names the evidence in `Guess.how`.
        repeats: draws of the patient bootstrap.
        seed: of folds, forest and draws.
    """
    known = [number for number, row in enumerate(evidence) if row is not None]
    rows = [row for row in evidence if row is not None]
    told_labels, told_groups = [labels[n] for n in known], [groups[n] for n in known]
    classes = sorted(set(told_labels))
    why = _why_not(rows, told_labels, told_groups, what)
    if why:
        return _not_measured(why, len(set(told_groups)))
    table, names = encode(rows)
    indices = np.array([classes.index(label) for label in told_labels])
    answers = cross_validated_forest(
        table, indices, told_groups, classes=len(classes), seed=seed, what=what, trees=TREES
    )
    patients = aggregate_by_patient(indices, answers.probabilities, told_groups)
    scores = score_with_intervals(
        patients.labels,
        patients.probabilities,
        patients.patients,
        classes,
        repeats=repeats,
        seed=seed,
    )
    strongest = names[_strongest(table, indices, told_groups)].partition(" = ")[0]
    return Guess(
        auc=scores.metrics["auc"],
        per_class={label: scores.per_class[label]["auc"] for label in classes},
        patients=len(patients.patients),
        strongest=strongest,
        bands=_bands([row.get(strongest, "") for row in rows], known, told_labels, told_groups),
        how=answers.how,
    )


def encode(rows: Sequence[Mapping[str, str]]) -> tuple[NDArray[np.float64], list[str]]:
    """Words as numbers: a column of numbers as it is, any other one column per word.

    Returns:
        (n, d) without NaN, and d names: `kernel = B70` for a word, `kernel` for a number.

    >>> encode([{"kernel": "B70"}, {"kernel": "B30"}])
    (array([[0., 1.],
           [1., 0.]]), ['kernel = B30', 'kernel = B70'])
    """
    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        words = [row.get(name, "") for row in rows]
        numbers = _numbers(words)
        if numbers is not None:
            columns.append(numbers)
            names.append(name)
            continue
        for word in _commonest(words):
            columns.append(np.array([float(other == word) for other in words]))
            names.append(f"{name} = {word or 'blank'}")
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0)), names


def _numbers(words: Sequence[str]) -> NDArray[np.float64] | None:
    """The words as numbers, a blank as less than all of them; None unless they are numbers.

    Half of the world writes 1,25 for 1.25: as words, no two patients would be alike.
    """
    told = {word for word in words if word}
    try:
        values = {word: float(word.replace(",", ".")) for word in told}
    except ValueError:
        return None
    if len(told) < NUMERIC_FROM or not np.isfinite(list(values.values())).all():
        return None
    below = min(values.values()) - 1
    return np.array([values.get(word, below) for word in words])


def _commonest(words: Sequence[str]) -> list[str]:
    found, counts = np.unique(np.array(words, dtype=str), return_counts=True)
    chosen = found[np.argsort(-counts, kind="stable")[:CATEGORIES]]
    return sorted(map(str, chosen))


def _why_not(
    rows: Sequence[Mapping[str, str]], labels: Sequence[str], groups: Sequence[str], what: str
) -> str:
    """Why nothing can be guessed; blank when something can."""
    if not rows:
        return f"not done: no row has {what}"
    if len(set(labels)) < 2:
        return f"not done: every row with {what} has the label {labels[0]!r}, two are needed"
    whose = {group: label for group, label in zip(groups, labels, strict=True)}
    counts = Counter(whose.values())
    rarest = min(counts, key=lambda label: counts[label])
    if counts[rarest] < 2:
        return (
            f"not done: the label {rarest!r} has one patient with {what}; cross-validation by "
            f"patient needs two"
        )
    if all(row == rows[0] for row in rows):
        return f"nothing to guess from: {what} is the same for every row"
    return ""


def _not_measured(why: str, patients: int) -> Guess:
    return Guess(undefined(), {}, patients, "", (), why)


def _strongest(table: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str]) -> int:
    """The column whose patient means alone rank some label best against the rest."""
    _, patient_labels, of_row = label_of_patients(labels, groups)
    pictures = np.bincount(of_row)
    best, best_column = 0.0, 0
    for column, values in enumerate(table.T):
        means = np.bincount(of_row, values) / pictures
        for label in np.unique(labels):
            auc = rank_auc(patient_labels == label, means, np.ones((1, len(means))))[0]
            if abs(auc - 0.5) > best + 1e-9:
                best, best_column = abs(auc - 0.5), column
    return best_column


def _bands(
    words: Sequence[str], known: Sequence[int], labels: Sequence[str], groups: Sequence[str]
) -> tuple[Band, ...]:
    """Who lies where on one value: patients by their median for numbers, by word otherwise."""
    numbers = _numbers(words)
    places = _by_word(words) if numbers is None else _by_median(numbers, groups)
    return tuple(
        Band(
            name=name,
            patients={
                label: len({groups[n] for n in rows if labels[n] == label})
                for label in sorted(set(labels))
            },
            rows=tuple(known[n] for n in rows),
        )
        for name, rows in places
    )


def _by_word(words: Sequence[str]) -> list[tuple[str, list[int]]]:
    return [
        (word or "blank", [n for n, other in enumerate(words) if other == word])
        for word, _ in Counter(words).most_common(BANDS)
    ]


def _by_median(numbers: NDArray[np.float64], groups: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Quarters of the patients, from the least to the greatest value."""
    _, of_row = np.unique(np.asarray(groups), return_inverse=True)
    together = numbers[np.argsort(of_row, kind="stable")]
    each = np.split(together, np.cumsum(np.bincount(of_row))[:-1])
    medians = np.array([np.median(one) for one in each])
    edges = np.unique(np.quantile(medians, np.linspace(0, 1, BANDS + 1)))
    if len(edges) < 3:  # most patients have one and the same value
        return []
    band = np.clip(np.searchsorted(edges, medians, side="right") - 1, 0, len(edges) - 2)
    return [
        (f"{low:g} to {high:g}", np.flatnonzero(band[of_row] == place).tolist())
        for place, (low, high) in enumerate(pairwise(edges))
    ]
