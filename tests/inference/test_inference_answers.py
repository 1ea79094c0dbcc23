"""Averaging, calibrating, choosing key slices and judging, with values worked out by hand."""

import math

import numpy as np
import pytest

from deeppneumonia.checkpoint import Thresholds
from deeppneumonia.domain import QualityFlag, SlicePrediction, Status
from deeppneumonia.evaluation import calibrate as calibrate_arrays
from deeppneumonia.inference import calibrate, judge, key_slices, mean_probabilities


def seen(index: int, covid: float, bacterial: float, healthy: float) -> SlicePrediction:
    return SlicePrediction(
        slice_index=index,
        probabilities={"covid": covid, "bacterial": bacterial, "healthy": healthy},
    )


SLICES = [
    seen(3, 0.7, 0.2, 0.1),
    seen(5, 0.1, 0.3, 0.6),
    seen(8, 0.4, 0.4, 0.2),
    seen(9, 0.7, 0.1, 0.2),
]


def test_a_patient_is_the_arithmetic_mean_of_the_slices() -> None:
    mean = mean_probabilities(SLICES)
    assert mean == pytest.approx({"covid": 0.475, "bacterial": 0.25, "healthy": 0.275})


def test_a_patient_without_slices_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no mean"):
        mean_probabilities([])


def test_temperature_two_halves_the_log_odds() -> None:
    tempered = calibrate({"covid": 0.9, "healthy": 0.1}, 2.0)
    assert tempered["covid"] / tempered["healthy"] == pytest.approx(3.0)  # odds 9 become 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_one_patient_is_calibrated_as_evaluation_calibrates_many(temperature: float) -> None:
    probabilities = {"covid": 0.62, "bacterial": 0.38, "healthy": 0.0}
    one = calibrate(probabilities, temperature)
    many = calibrate_arrays(np.array([[0.62, 0.38, 0.0]]), temperature)[0]
    assert list(one.values()) == pytest.approx(many.tolist(), abs=1e-9)


def test_key_slices_speak_most_for_the_disease_and_ties_go_to_the_feet() -> None:
    assert key_slices(SLICES, "covid") == (3, 9, 8)


def test_key_slices_of_a_healthy_patient_are_the_least_healthy_ones() -> None:
    assert key_slices(SLICES, "healthy") == (3, 8, 9)


def test_a_clear_lead_is_a_diagnosis() -> None:
    answer = judge({"covid": 0.8, "healthy": 0.2}, [], Thresholds(confidence=0.6))
    assert answer.status is Status.DIAGNOSED and not answer.reasons


def test_a_weak_lead_is_indeterminate_with_its_reason() -> None:
    answer = judge({"covid": 0.55, "healthy": 0.45}, [], Thresholds(confidence=0.6))
    assert answer.status is Status.INDETERMINATE
    assert "55%" in answer.reasons[0] and "60%" in answer.reasons[0]


def test_a_lead_just_below_the_level_is_not_said_to_be_on_it() -> None:
    answer = judge({"covid": 0.4403, "healthy": 0.1}, [], Thresholds(confidence=0.4433))
    assert "a probability of 44.0%; below 44.3% this model" in answer.reasons[0]


def test_a_blocking_flag_forbids_any_answer_however_clear() -> None:
    flags = [QualityFlag("note", "A remark."), QualityFlag("gap", "Slices are missing.", True)]
    answer = judge({"covid": 1.0, "healthy": 0.0}, flags, Thresholds())
    assert answer.status is Status.REFUSED and answer.reasons == ("Slices are missing.",)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_no_probability(place: int) -> None:
    values = [0.5, 0.5, 0.0]
    values[place] = math.nan
    with pytest.raises(ValueError, match="add up to 1, not nan"):
        seen(0, *values)


@pytest.mark.parametrize("confidence", [0.0, 0.6])
def test_what_is_no_number_is_no_diagnosis(confidence: float) -> None:
    nothing = {"covid": math.nan, "healthy": math.nan}
    answer = judge(nothing, [], Thresholds(confidence=confidence))
    assert answer.status is Status.INDETERMINATE and answer.reasons
