"""From slices to patients."""

import numpy as np
import pytest

from deeppneumonia.evaluation import aggregate_by_patient
from deeppneumonia.evaluation.patients import over_classes, refusals_as_uniform

NAN = float("nan")


def test_a_patient_is_the_mean_of_the_answered_slices() -> None:
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [NAN, NAN], [0.4, 0.6]])
    table = aggregate_by_patient(np.array([1, 0, 0, 1]), probabilities, ["b", "a", "a", "b"])
    assert table.patients == ("a", "b")
    assert table.labels.tolist() == [0, 1]
    assert table.probabilities == pytest.approx(np.array([[0.9, 0.1], [0.3, 0.7]]))


def test_a_patient_without_any_answer_stays_in_the_table() -> None:
    table = aggregate_by_patient(np.array([0]), np.array([[NAN, NAN]]), ["a"])
    assert np.isnan(table.probabilities).all()


def test_a_patient_with_two_labels_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="1 patient has slices of two labels"):
        aggregate_by_patient(np.array([0, 1]), np.full((2, 2), 0.5), ["a", "a"])


@pytest.mark.parametrize(
    ("labels", "probabilities", "reason"),
    [
        ([0, 1], [[0.5, 0.5]], "one entry per row"),
        ([0], [[0.5, 0.6]], "add up to 1"),
        ([0], [[1.5, -0.5]], "positive"),
        ([2], [[0.5, 0.5]], "labels must be 0 to 1"),
        ([0.5], [[0.5, 0.5]], "whole numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    labels: list[float], probabilities: list[list[float]], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        aggregate_by_patient(np.array(labels), np.array(probabilities), ["a"])  # type: ignore[arg-type]


def test_a_refusal_may_count_as_not_knowing() -> None:
    filled = refusals_as_uniform(np.array([[0.9, 0.1], [NAN, NAN]]))
    assert filled.tolist() == [[0.9, 0.1], [0.5, 0.5]]


def test_probabilities_are_renormalised_over_the_classes_at_hand() -> None:
    probabilities = np.array([[0.2, 0.6, 0.2], [0.0, 1.0, 0.0], [NAN, NAN, NAN]])
    over = over_classes(probabilities, [0, 2])
    assert over[:2].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.isnan(over[2]).all()
