"""Temperature, reliability, and the thresholds that are chosen on validation patients."""

import numpy as np
import pytest

from deeppneumonia.evaluation import (
    at_threshold,
    calibrate,
    choose_confidence_threshold,
    ece_by_chance,
    fit_temperature,
    operating_points,
    reliability_curve,
    score,
)


def two_classes(positive: list[float]) -> np.ndarray:
    return np.stack([np.array(positive), 1 - np.array(positive)], axis=1)


def patients_of_a_known_temperature(
    temperature: float, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the true probabilities; the network exaggerates them by `temperature`."""
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(20_000, classes))
    true = calibrate(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 1.0)
    labels = (rng.uniform(size=(20_000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return labels.clip(max=classes - 1), calibrate(true, 1 / temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_of_an_exaggerating_network_is_found(
    temperature: float, classes: int
) -> None:
    labels, probabilities = patients_of_a_known_temperature(temperature, classes)
    found = fit_temperature(labels, probabilities)
    assert found == pytest.approx(temperature, rel=0.05)  # 20,000 patients, sampling error


def test_calibration_keeps_the_order_and_the_sum() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    calibrated = calibrate(probabilities, 3.0)
    assert calibrated.sum(axis=1) == pytest.approx(np.ones(50))
    assert (calibrated.argsort(axis=1) == probabilities.argsort(axis=1)).all()
    assert calibrated.max() < probabilities.max()
    assert calibrate(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)  # the floor


def test_a_refusal_stays_a_refusal() -> None:
    assert np.isnan(calibrate(np.full((1, 2), np.nan), 2.0)).all()


def test_a_small_split_told_apart_without_error_does_not_ask_for_certainty() -> None:
    labels = np.repeat([0, 1], [8, 8])
    probabilities = two_classes([0.9] * 8 + [0.1] * 8)
    calibrated = calibrate(probabilities, fit_temperature(labels, probabilities))
    # Platt 1999: 8 of 8 right is the estimate (8 + 1) / (8 + 2)
    assert calibrated[0, 0] == pytest.approx(0.9, abs=1e-3)  # tolerance of the search


def test_reliability_of_a_bin_is_its_share_of_right_answers() -> None:
    curve = reliability_curve(np.array([0, 0, 1, 0]), two_classes([0.9, 0.9, 0.9, 0.58]))
    sure, unsure = 13, 8  # 0.9 lies in (13/15, 14/15], 0.58 in (8/15, 9/15]
    assert curve.counts[[sure, unsure]].tolist() == [3, 1]
    assert curve.accuracy[sure] == pytest.approx(2 / 3)
    assert curve.confidence[sure] == pytest.approx(0.9)
    assert np.isnan(curve.accuracy[0])


def test_true_probabilities_show_the_calibration_error_that_chance_makes() -> None:
    # 30 patients in one bin, each right with 0.7: |share right - 0.7| has the mean
    # sqrt(2 / pi * 0.7 * 0.3 / 30), by the normal approximation
    chance = ece_by_chance(two_classes([0.7] * 30))
    assert chance["value"] == pytest.approx(np.sqrt(2 / np.pi * 0.7 * 0.3 / 30), rel=0.05)
    assert chance["low"] < chance["value"] < chance["high"]


def test_the_error_by_chance_falls_with_the_number_of_patients() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 2000)
    few, many = ece_by_chance(probabilities[:50]), ece_by_chance(probabilities)
    assert few["value"] > 4 * many["value"]
    refused = np.full((50, 3), np.nan)
    assert ece_by_chance(np.concatenate([refused, probabilities[:50]])) == few
    assert ece_by_chance(refused)["value"] is None


def test_probabilities_that_are_true_have_an_error_inside_that_of_chance() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(40):
        probabilities = rng.dirichlet([2, 1, 1], 80)
        labels = (rng.random((80, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=2)
        found = score(labels, probabilities, "abc").metrics["ece"]
        chance = ece_by_chance(probabilities, repeats=200)
        inside += chance["low"] <= found <= chance["high"]
    assert inside >= 34  # 95 % of 40 are 38


def test_a_good_validation_split_answers_everybody() -> None:
    chosen = choose_confidence_threshold(np.array([0, 1]), two_classes([0.6, 0.3]))
    assert (chosen.threshold, chosen.answered, chosen.accuracy) == (0, 1, 1)


def test_the_threshold_rises_until_the_answers_are_right_often_enough() -> None:
    # ten patients: the two least sure are wrong; 8 of 8 are right from 0.70 on
    covid = [0.55, 0.60, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 0.96, 0.97]
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    chosen = choose_confidence_threshold(labels, two_classes(covid), most_unanswered=0.5)
    assert (chosen.threshold, chosen.answered, chosen.accuracy) == (0.70, 0.8, 1)


def test_the_threshold_stops_where_too_many_would_go_without_an_answer() -> None:
    covid = [0.55, 0.60, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 0.96, 0.97]
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    chosen = choose_confidence_threshold(labels, two_classes(covid), most_unanswered=0.1)
    assert (chosen.threshold, chosen.answered) == (0.60, 0.9)
    assert chosen.accuracy == pytest.approx(8 / 9)


def test_who_has_no_answer_anyway_counts_against_the_threshold() -> None:
    covid = [0.55, 0.60, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 0.96, 0.97]
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    sure_but_open = np.arange(10) == 9
    for most, threshold, answered in ((0.1, 0.0, 0.9), (0.2, 0.60, 0.8), (0.3, 0.70, 0.7)):
        chosen = choose_confidence_threshold(
            labels, two_classes(covid), left_open=sure_but_open, most_unanswered=most
        )
        assert (chosen.threshold, chosen.answered) == (threshold, pytest.approx(answered))


def test_where_nobody_is_left_to_answer_nothing_is_chosen() -> None:
    chosen = choose_confidence_threshold(
        np.array([0, 1]), two_classes([0.6, 0.3]), left_open=np.ones(2, bool)
    )
    assert (chosen.threshold, chosen.answered) == (0, 0)


def test_an_operating_point_reaches_its_sensitivity_and_no_lower_threshold_is_taken() -> None:
    covid = [0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.1]
    others = [0.55, 0.32, 0.2, 0.05]
    labels = np.repeat([0, 1], [10, 4])
    ninety, all_but_none = operating_points(labels, two_classes(covid + others))
    assert (ninety.threshold, ninety.sensitivity, ninety.specificity) == (0.3, 0.9, 0.5)
    assert (all_but_none.threshold, all_but_none.sensitivity) == (0.1, 1.0)
    assert all_but_none.specificity == 0.25


def test_with_three_classes_the_first_stands_against_the_rest() -> None:
    labels = np.array([0, 0, 1, 2, 2])
    first = np.array([0.8, 0.3, 0.4, 0.2, 0.1])
    probabilities = np.stack([first, (1 - first) * 0.9, (1 - first) * 0.1], axis=1)
    (point,) = operating_points(labels, probabilities, sensitivities=[0.95])
    assert (point.threshold, point.sensitivity) == (0.3, 1.0)
    assert point.specificity == pytest.approx(2 / 3)


def test_a_threshold_is_applied_to_other_patients_as_it_is() -> None:
    point = at_threshold(np.array([0, 0, 1]), two_classes([0.9, 0.2, 0.1]), 0.5)
    assert (point.sensitivity, point.specificity) == (0.5, 1.0)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="every row is NaN"):
        fit_temperature(np.array([0]), np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="first class and one of the rest"):
        operating_points(np.array([1, 1, 2]), np.eye(3))
    with pytest.raises(ValueError, match="temperature must be more than 0"):
        calibrate(np.full((1, 2), 0.5), 0.0)
