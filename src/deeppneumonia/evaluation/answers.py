"""One test set at both levels: its slices, and the calibrated patients that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.calibration import calibrate
from deeppneumonia.evaluation.metrics import Floats, check_names
from deeppneumonia.evaluation.patients import (
    aggregate_by_patient,
    checked,
    classes_at_hand,
    over_classes,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said about the slices, or about the patients, of one test set."""

    labels: NDArray[np.int64]
    """(n,) class indices."""

    probabilities: Floats
    """(n, C); NaN where refused."""

    groups: Sequence[str]
    """n patient keys."""


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """The answers at both levels, over the classes that the test set holds."""

    classes: tuple[str, ...]
    slices: Answers
    patients: Answers


def answer_set(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    groups: Sequence[str],
    class_names: Sequence[str],
    *,
    temperature: float = 1.0,
) -> AnswerSet:
    """Aggregate, calibrate the patients, and renormalise over the classes at hand.

    Args:
        labels: (n,) class index of each slice.
        probabilities: (n, C) of each slice, not calibrated; NaN rows are refusals.
        groups: n patient keys.
        class_names: C words.
        temperature: calibrates the patients' probabilities; slices stay as they are.

    Raises:
        ValueError: if a patient has two labels, or the arrays do not fit together.
    """
    labels, probabilities = checked(labels, probabilities, groups)
    check_names(class_names, probabilities)
    of_slices, kept = classes_at_hand(labels, len(class_names))
    table = aggregate_by_patient(labels, probabilities, groups)
    of_patients, _ = classes_at_hand(table.labels, len(class_names))
    calibrated = calibrate(table.probabilities, temperature)
    return AnswerSet(
        classes=tuple(class_names[index] for index in kept),
        slices=Answers(of_slices, over_classes(probabilities, kept), groups),
        patients=Answers(of_patients, over_classes(calibrated, kept), table.patients),
    )
