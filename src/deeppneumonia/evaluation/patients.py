"""From slices to patients: the mean of the slices' probabilities, and what counts as an answer.

Everywhere in this wing a row of probabilities is either an answer (values 0 to 1 that add up to 1)
or a refusal, which is a row of NaN. A refused study is one row of NaN under its patient's key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.wording import counted

SUM_TOLERANCE = 1e-3  # a softmax computed in half precision misses 1 by up to this much


@dataclass(frozen=True, slots=True)
class PatientTable:
    """One row per patient, in the order of their sorted keys."""

    patients: tuple[str, ...]

    labels: NDArray[np.int64]
    """(P,): the class index that all slices of the patient share."""

    probabilities: NDArray[np.float64]
    """(P, C): mean over the answered slices; NaN where the patient has none."""


def aggregate_by_patient(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], groups: Sequence[str]
) -> PatientTable:
    """Take the arithmetic mean of each patient's answered slices.

    Args:
        labels: (n,) class index of each slice.
        probabilities: (n, C), a row of NaN for a refused slice.
        groups: n patient keys.

    Raises:
        ValueError: if a patient has two labels, or the arrays do not fit together.

    >>> table = aggregate_by_patient(np.array([0, 0]), np.array([[0.6, 0.4], [1, 0]]), ["a", "a"])
    >>> table.probabilities
    array([[0.8, 0.2]])
    """
    labels, probabilities = checked(labels, probabilities, groups)
    patients, patient_labels, patient_of_row = label_of_patients(labels, groups)
    answered = is_answered(probabilities)
    slices = np.bincount(patient_of_row[answered], minlength=len(patients))  # (P,)
    total = np.zeros((len(patients), probabilities.shape[1]))
    np.add.at(total, patient_of_row[answered], probabilities[answered])
    mean = np.full_like(total, np.nan)
    np.divide(total, slices[:, None], out=mean, where=slices[:, None] > 0)
    return PatientTable(patients, patient_labels, mean)


def label_of_patients(
    labels: NDArray[np.integer], groups: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """The sorted patients, the label of each (P,), and the patient of each row (n,).

    Raises:
        ValueError: if a patient has two labels.
    """
    patients, first, of_row = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    torn = labels != labels[first][of_row]
    if torn.any():
        raise ValueError(
            f"{counted(np.unique(of_row[torn]).size, 'patient has', 'patients have')} slices of "
            "two labels, where a patient has one"
        )
    return tuple(map(str, patients)), labels[first].astype(np.int64), of_row


def is_answered(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(n,): True for the rows of (n, C) that hold an answer."""
    answered: NDArray[np.bool_] = ~np.isnan(probabilities).any(axis=1)
    return answered


def refusals_as_uniform(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """A copy in which each refused row says 1/C for every class: 0.5 when there are two."""
    filled = np.array(probabilities, np.float64)
    filled[~is_answered(filled)] = 1 / filled.shape[1]
    return filled


def classes_at_hand(
    labels: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Labels counted over those of C classes that are present, and which those are.

    All classes stay where there is but one label: over a single class nothing is told apart.

    >>> classes_at_hand(np.array([0, 2, 2]), 3)
    (array([0, 1, 1]), [0, 2])
    """
    present = np.unique(labels).tolist()
    kept = present if len(present) > 1 else list(range(classes))
    position = np.full(classes, -1)
    position[kept] = range(len(kept))
    return position[labels], kept


def over_classes(probabilities: NDArray[np.floating], kept: Sequence[int]) -> NDArray[np.float64]:
    """Renormalise over the classes `kept`, for a test set that holds fewer than the network knows.

    A row that gave all its probability to other classes says nothing about these: it becomes
    uniform. A refused row stays refused.
    """
    part = np.array(probabilities, np.float64)[:, list(kept)]
    total = part.sum(axis=1, keepdims=True)
    uniform = np.full_like(part, 1 / len(kept))
    shares: NDArray[np.float64] = np.divide(part, total, out=uniform, where=~(total == 0))
    return shares


def checked(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], groups: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (n,) as int64 and probabilities (n, C) as float64; ValueError unless they fit."""
    labels = np.asarray(labels)
    probabilities = np.array(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or len(probabilities) == 0:
        raise ValueError(f"probabilities must be (n, C) with C >= 2, not {probabilities.shape}")
    if labels.shape != (len(probabilities),) or len(groups) != len(probabilities):
        raise ValueError(
            f"labels {labels.shape}, probabilities {probabilities.shape} and {len(groups)} groups "
            "must have one entry per row"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must be 0 to {probabilities.shape[1] - 1}")
    answers = probabilities[is_answered(probabilities)]
    if (answers < 0).any() or (np.abs(answers.sum(axis=1) - 1) > SUM_TOLERANCE).any():
        raise ValueError("each answered row of probabilities must be positive and add up to 1")
    return labels.astype(np.int64), probabilities.astype(np.float64)
