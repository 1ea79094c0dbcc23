"""How well six grey-level statistics tell the labels apart, without knowing what a lung is.

A random forest on six numbers of the picture is the line that a network has to beat: where it
already tells the classes apart, hospital, scanner and window give them away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.patients import label_of_patients

STATISTICS = (
    "mean",
    "black_fraction",
    "foreground_mean",
    "foreground_sd",
    "foreground_p5",
    "mean_gradient",
)
BRIGHTEST_BLACK = 10  # lossy compression leaves grey levels up to about this in a black background
TREES = 200
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a model that knows nothing about lungs says about the same slices."""

    probabilities: NDArray[np.float64]
    """(n, C): one row per slice of the test set; NaN where there is no picture, or no answer."""

    how: str
    """One sentence: what it was fitted on, or why it has no answer."""


def picture_statistics(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The six STATISTICS of each picture.

    Args:
        pictures: (n, rows, columns) grey levels.

    Returns:
        (n, 6): mean grey; share of black pixels (grey <= 10); mean, standard deviation and 5th
        percentile of the pixels that are not black, 0 where all are; mean length of the gradient
        in grey levels per pixel.
    """
    if pictures.ndim != 3 or pictures.dtype != np.uint8:
        raise ValueError(f"pictures must be (n, H, W) uint8, not {pictures.shape} {pictures.dtype}")
    return np.array([_statistics(picture) for picture in pictures]).reshape(-1, len(STATISTICS))


def six_statistics_baseline(
    train_statistics: NDArray[np.floating],
    train_labels: NDArray[np.integer],
    test_statistics: NDArray[np.floating],
    *,
    classes: int,
    seed: int = 0,
) -> Baseline:
    """Fit on the training slices, answer for the test slices.

    Args:
        train_statistics: (m, 6); rows of NaN (no picture) are left out.
        train_labels: (m,) class indices.
        test_statistics: (n, 6); a row of NaN gets no answer.
        classes: C, how many classes there are.
    """
    usable = ~np.isnan(train_statistics).any(axis=1)
    if not usable.any():
        return _no_answer(len(test_statistics), classes, "no training picture has statistics")
    forest = _forest(train_statistics[usable], train_labels[usable], seed)
    return Baseline(
        probabilities=_answers(forest, test_statistics, classes),
        how=f"random forest on six statistics, fitted on {int(usable.sum())} training slices",
    )


def cross_validated_forest(
    values: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: Sequence[str],
    *,
    classes: int,
    what: str,
    seed: int = 0,
    trees: int = TREES,
) -> Baseline:
    """Patients of one fold, told apart by a random forest fitted on those of the others.

    Args:
        values: (n, d); a row with a NaN gets no answer.
        labels: (n,) class indices.
        groups: n patient keys; a patient is never on both sides.
        classes: C, how many classes there are.
        what: names the values in `Baseline.how`.
        seed: of the folds and the forest.
        trees: of the forest.
    """
    usable = np.flatnonzero(~np.isnan(values).any(axis=1))
    usable_groups = np.asarray(groups)[usable]
    folds = min(FOLDS, _fewest_patients(labels[usable], usable_groups.tolist()))
    if folds < 2:
        return _no_answer(len(values), classes, "cross-validation needs two patients per class")
    probabilities = np.full((len(values), classes), np.nan)
    for fitted, held_out in patient_folds(labels[usable], usable_groups.tolist(), folds, seed):
        forest = _forest(values[usable[fitted]], labels[usable[fitted]], seed, trees)
        probabilities[usable[held_out]] = _answers(forest, values[usable[held_out]], classes)
    return Baseline(
        probabilities=probabilities,
        how=f"random forest on {what}, {folds}-fold cross-validation by patient",
    )


def _statistics(picture: NDArray[np.uint8]) -> list[float]:
    """The six numbers of one picture."""
    foreground = picture[picture > BRIGHTEST_BLACK]
    down, along = np.gradient(picture.astype(np.float32))
    of_foreground = (
        [foreground.mean(), foreground.std(), np.percentile(foreground, 5)]
        if foreground.size
        else [0.0, 0.0, 0.0]
    )
    black = 1 - foreground.size / picture.size
    steepness = float(np.mean(np.hypot(down, along)))
    return [float(picture.mean()), black, *map(float, of_foreground), steepness]


def _forest(
    statistics: NDArray[np.floating], labels: NDArray[np.integer], seed: int, trees: int = TREES
) -> Any:
    """A fitted forest; leaves of five slices keep it from learning single patients by heart."""
    from sklearn.ensemble import RandomForestClassifier  # costs a second: only where one is grown

    forest = RandomForestClassifier(
        trees, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1
    )
    return forest.fit(statistics, labels)


def _answers(forest: Any, statistics: NDArray[np.floating], classes: int) -> NDArray[np.float64]:
    """(n, C) probabilities; NaN where a statistic is."""
    usable = ~np.isnan(statistics).any(axis=1)
    probabilities = np.full((len(statistics), classes), np.nan)
    probabilities[usable] = 0  # a class without training slices is never expected
    if usable.any():
        columns = np.ix_(usable, forest.classes_)
        probabilities[columns] = forest.predict_proba(statistics[usable])
    return probabilities


def patient_folds(
    labels: NDArray[np.integer], groups: Sequence[str], folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit on and rows to answer for, with classes spread evenly and patients whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros((len(labels), 1)), labels, groups)


def _fewest_patients(labels: NDArray[np.integer], groups: Sequence[str]) -> int:
    """Number of patients of the rarest class at hand; 0 when there is one class or none."""
    if len(np.unique(labels)) < 2:
        return 0
    counts = np.bincount(label_of_patients(labels, groups)[1])
    return int(counts[counts > 0].min())


def _no_answer(rows: int, classes: int, why: str) -> Baseline:
    return Baseline(probabilities=np.full((rows, classes), np.nan), how=f"no answer: {why}")
