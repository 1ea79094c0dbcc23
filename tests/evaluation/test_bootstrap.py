"""Intervals over patients."""

import numpy as np
import pytest
from scipy.stats import binomtest

from deeppneumonia.evaluation import auc_difference, score_with_intervals
from deeppneumonia.evaluation.bootstrap import patient_draws

NAMES = ("covid", "bacterial")


def two_classes(positive: np.ndarray) -> np.ndarray:
    return np.stack([positive, 1 - positive], axis=1)


def patients(count: int) -> list[str]:
    return [f"patient {number:04d}" for number in range(count)]


def test_the_interval_of_a_recall_is_close_to_the_binomial_one() -> None:
    labels = np.repeat([0, 1], [100, 100])
    covid = np.repeat([0.9, 0.1, 0.1], [80, 20, 100])  # 80 of 100 found
    recall = score_with_intervals(labels, two_classes(covid), patients(200), NAMES).metrics[
        "recall"
    ]
    exact = binomtest(80, 100).proportion_ci(0.95, method="wilson")
    assert recall["value"] == 0.8
    assert recall["low"] == pytest.approx(exact.low, abs=0.02)  # 2000 draws of a rough figure
    assert recall["high"] == pytest.approx(exact.high, abs=0.02)


def test_draws_take_whole_patients_inside_their_class() -> None:
    labels = np.array([0, 0, 1, 0, 1])
    groups = ["a", "a", "b", "c", "d"]
    draws = np.concatenate(list(patient_draws(labels, groups, repeats=50, seed=0)))
    assert draws.shape == (50, 5)
    assert (draws[:, 0] == draws[:, 1]).all(), "both slices of a patient come along"
    assert (draws[:, 0] + draws[:, 3] == 2).all(), "two covid patients in each draw"
    assert (draws[:, 2] + draws[:, 4] == 2).all(), "two bacterial patients in each draw"


def test_many_slices_of_a_patient_do_not_make_the_interval_narrow() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [20, 20])
    covid = rng.uniform(0.2, 0.8, 40)
    by_patient = score_with_intervals(labels, two_classes(covid), patients(40), NAMES)
    repeated = score_with_intervals(
        labels.repeat(10),
        two_classes(covid.repeat(10)),
        [p for p in patients(40) for _ in range(10)],
        NAMES,
    )
    assert repeated.metrics["auc"] == by_patient.metrics["auc"]


def test_the_same_seed_gives_the_same_interval_and_pieces_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.repeat([0, 1], [10, 10])
    answers = two_classes(np.random.default_rng(1).uniform(size=20))
    whole = score_with_intervals(labels, answers, patients(20), NAMES, repeats=100, seed=3)
    monkeypatch.setattr("deeppneumonia.evaluation.bootstrap.WEIGHTS_AT_ONCE", 60)
    pieces = score_with_intervals(labels, answers, patients(20), NAMES, repeats=100, seed=3)
    other = score_with_intervals(labels, answers, patients(20), NAMES, repeats=100, seed=4)
    for name, interval in whole.metrics.items():
        assert pieces.metrics[name] == pytest.approx(interval)
    assert other.metrics["auc"] != whole.metrics["auc"]


def test_a_metric_that_is_not_defined_has_no_interval() -> None:
    scores = score_with_intervals(np.array([0, 0]), np.full((2, 2), 0.5), ["a", "b"], NAMES)
    assert scores.metrics["auc"] == {"value": None, "low": None, "high": None}
    refused = score_with_intervals(np.array([0, 1]), np.full((2, 2), np.nan), ["a", "b"], NAMES)
    assert refused.metrics["accuracy"] == {"value": None, "low": None, "high": None}


def test_a_model_gains_nothing_over_itself() -> None:
    labels = np.repeat([0, 1], [15, 15])
    answers = two_classes(np.random.default_rng(2).uniform(size=30))
    assert auc_difference(labels, answers, answers) == {"value": 0, "low": 0, "high": 0}


def test_the_gain_of_a_perfect_model_over_a_blind_one_is_a_half() -> None:
    labels = np.repeat([0, 1], [15, 15])
    gain = auc_difference(labels, two_classes(1.0 - labels), np.full((30, 2), 0.5))
    assert gain == {"value": 0.5, "low": 0.5, "high": 0.5}


def test_two_thousand_draws_of_seven_hundred_patients_hold_the_known_auc() -> None:
    # two normals one standard deviation apart: AUC = Phi(1 / sqrt(2)) = 0.760
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], [350, 350])
    logit = rng.normal(size=700) + (labels == 0)
    auc = score_with_intervals(
        labels, two_classes(1 / (1 + np.exp(-logit))), patients(700), NAMES
    ).metrics["auc"]
    assert auc["low"] is not None and auc["high"] is not None
    assert auc["low"] < 0.760 < auc["high"]
    # Hanley and McNeil 1982: standard error 0.018 here, hence an interval 0.070 wide
    assert auc["high"] - auc["low"] == pytest.approx(0.070, abs=0.01)


def test_a_class_of_one_patient_leaves_no_interval() -> None:
    # three slices of the one covid patient: more rows are no more patients
    labels = np.array([0, 0, 0, 1, 1, 1])
    answers = two_classes(np.array([0.9, 0.4, 0.6, 0.2, 0.7, 0.3]))
    scores = score_with_intervals(labels, answers, ["a", "a", "a", "b", "c", "d"], NAMES)
    auc, recall = scores.metrics["auc"], scores.per_class["bacterial"]["recall"]
    assert auc == {"value": pytest.approx(7 / 9), "low": None, "high": None}
    assert recall == {"value": pytest.approx(2 / 3), "low": None, "high": None}
    gain = auc_difference(labels[2:], answers[2:], np.full((4, 2), 0.5))
    assert gain == {"value": pytest.approx(2 / 3 - 0.5), "low": None, "high": None}
