"""Paired tests of two models, against values worked out by hand and by the definitions."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from deeppneumonia.evaluation.bootstrap import patient_draws
from deeppneumonia.evaluation.comparison import (
    auc_components,
    auc_interval,
    delong_test,
    mcnemar_test,
)
from deeppneumonia.evaluation.metrics import weighted_scores

Floats = NDArray[np.float64]


def two_classes(*positive: float) -> Floats:
    """One repeat (1, P, 2) from the probabilities of class 0."""
    p = np.array(positive)
    return np.stack([p, 1 - p], axis=1)[None]


LABELS = np.array([0, 0, 1, 1])
THREE_OF_FOUR = two_classes(0.9, 0.4, 0.5, 0.1)  # of the four pairs only 0.4 < 0.5 is wrong
PERFECT = two_classes(0.9, 0.8, 0.2, 0.1)


def test_delong_by_hand() -> None:
    # Components of the positives 1 and 1/2, of the negatives 1/2 and 1; the other model's are 1.
    # Variance 1/8 / 2 + 1/8 / 2 = 1/8, so z = -0.25 / sqrt(1/8) = -0.7071 and p = 0.4795.
    found = delong_test(LABELS, THREE_OF_FOUR, PERFECT)
    assert found.difference == pytest.approx(-0.25)
    assert found.p_value == pytest.approx(0.4795, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((-0.25 - 0.69295, -0.25 + 0.69295), abs=1e-4)


def test_the_components_are_the_shares_of_the_other_kind_that_are_ranked_right() -> None:
    auc, parts = auc_components(LABELS, THREE_OF_FOUR[0])
    assert auc == pytest.approx(0.75)
    assert (parts * 2).tolist() == pytest.approx([1, 0.5, 0.5, 1])


def test_a_tie_counts_half() -> None:
    auc, parts = auc_components(LABELS, two_classes(0.5, 0.9, 0.5, 0.1)[0])
    assert auc == pytest.approx(0.875)
    assert (parts * 2).tolist() == pytest.approx([0.75, 1, 0.75, 1])


def by_definition(labels: NDArray[np.int64], first: Floats, second: Floats) -> tuple[float, float]:
    """Difference and p of DeLong 1988, eq. 4 to 7, pair by pair and with their covariances."""
    aucs, tens, ones = [], [], []
    for answers in (first, second):
        x, y = answers[0, labels == 0, 0], answers[0, labels == 1, 0]
        psi = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
        aucs.append(psi.mean())
        tens.append(psi.mean(axis=1))
        ones.append(psi.mean(axis=0))
    s = np.cov(tens) / len(tens[0]) + np.cov(ones) / len(ones[0])
    variance = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    z = (aucs[0] - aucs[1]) / np.sqrt(variance)
    return aucs[0] - aucs[1], 2 * norm.sf(abs(z))


def cohort(classes: int, skill: float, seed: int, patients: int = 60) -> Floats:
    """Answers (1, P, C) of a model that knows something, on a grid so that there are ties."""
    rng = np.random.default_rng(seed)
    labels = np.arange(patients) % classes
    weight = np.exp(skill * np.eye(classes)[labels] + rng.normal(size=(patients, classes)))
    rounded = np.round(weight / weight.sum(axis=1, keepdims=True), 1) + 0.05
    return (rounded / rounded.sum(axis=1, keepdims=True))[None]


def test_delong_is_its_definition_with_ties_and_unequal_classes() -> None:
    labels = (np.arange(60) % 3 > 0).astype(np.int64)  # 20 and 40
    first, second = cohort(2, 1.0, 1), cohort(2, 0.2, 2)
    found = delong_test(labels, first, second)
    difference, p_value = by_definition(labels, first, second)
    assert found.difference == pytest.approx(difference)
    assert found.p_value == pytest.approx(p_value)


def test_repeats_that_say_the_same_change_nothing_and_others_are_averaged() -> None:
    labels = np.arange(60) % 2
    first, second = cohort(2, 1.0, 1), cohort(2, 0.5, 2)
    thrice = np.concatenate([first] * 3)
    once, repeated = delong_test(labels, first, second), delong_test(labels, thrice, second)
    assert repeated.p_value == pytest.approx(once.p_value)
    mixed = np.concatenate([first, second])
    assert delong_test(labels, mixed, second).difference == pytest.approx(once.difference / 2)


def test_the_error_of_a_macro_auc_is_that_of_drawing_the_patients_again() -> None:
    labels = np.arange(90) % 3
    first, second = cohort(3, 1.5, 1, 90), cohort(3, 0.5, 2, 90)
    found = delong_test(labels, first, second)
    patients = [f"{n:02d}" for n in range(90)]
    drawn = np.concatenate(
        [
            weighted_scores(labels, first[0], w)[0]["auc"]
            - weighted_scores(labels, second[0], w)[0]["auc"]
            for w in patient_draws(labels, patients, repeats=4000, seed=0)
        ]
    )
    error = (found.high - found.low) / (2 * 1.959964)
    # 5 %: the bootstrap divides by n where DeLong divides by n - 1, and 4000 draws vary by 1 %.
    assert error == pytest.approx(drawn.std(), rel=0.05)


def test_within_folds_only_patients_of_one_model_are_ranked_against_each_other() -> None:
    # Two folds of four; the second model says 0.5 less. Pooled, its ill lose to the first's well.
    labels = np.array([0, 0, 1, 1] * 2)
    shifted = two_classes(0.9, 0.8, 0.6, 0.7, 0.4, 0.1, 0.2, 0.05)  # the last fold: 3 of 4 right
    folds = np.array([[1] * 4 + [2] * 4])
    assert auc_interval(labels, shifted)["value"] == pytest.approx((4 + 4 + 2 + 1) / 16)
    found = auc_interval(labels, shifted, folds=folds)
    assert found["value"] == pytest.approx((1 + 0.75) / 2)
    # The first fold varies not; the second by 1/8 (as above), of which the mean of two takes 1/4.
    assert found["low"] == pytest.approx(0.875 - 1.959964 * np.sqrt(1 / 32))
    assert found["high"] == 1


def test_a_difference_within_folds_is_the_mean_of_the_folds_differences() -> None:
    labels = np.arange(60) % 2
    first, second = cohort(2, 1.0, 1), cohort(2, 0.2, 2)
    folds = (np.arange(60) // 20)[None]
    found = delong_test(labels, first, second, folds=folds)
    each = [
        delong_test(labels[one], first[:, one], second[:, one])
        for one in (np.flatnonzero(folds[0] == fold) for fold in range(3))
    ]
    assert found.difference == pytest.approx(np.mean([test.difference for test in each]))
    errors = [(test.high - test.low) / 2 for test in each]
    reach = np.sqrt(np.sum(np.square(errors))) / 3
    assert (found.high - found.low) / 2 == pytest.approx(reach)


def test_a_model_against_itself_shows_nothing() -> None:
    found = delong_test(LABELS, PERFECT, PERFECT)
    assert (found.difference, found.p_value) == (0, 1)
    assert mcnemar_test(LABELS, PERFECT, PERFECT).p_value == 1


def test_where_nobodys_rank_is_in_doubt_there_is_no_p_value() -> None:
    found = delong_test(LABELS, PERFECT, PERFECT[:, :, ::-1])
    assert (found.difference, found.p_value) == (1, None)


def test_one_patient_of_a_class_gives_no_interval() -> None:
    found = delong_test(np.array([0, 1, 1, 1]), THREE_OF_FOUR, PERFECT)
    assert found.low is found.high is found.p_value is None


def test_mcnemar_by_hand() -> None:
    # 8 patients are judged differently, 1 right by the first only: p = 2 (C(8,0) + C(8,1)) / 2^8
    labels = np.zeros(10, np.int64)
    first = two_classes(*[0.9] + [0.2] * 7 + [0.9, 0.2])
    second = two_classes(*[0.3] + [0.8] * 7 + [0.7, 0.1])
    found = mcnemar_test(labels, first, second)
    assert (found.only_first_right, found.only_second_right) == (1, 7)
    assert found.p_value == pytest.approx(18 / 256)


def test_a_shared_decision_is_an_error_and_repeats_decide_together() -> None:
    labels = np.array([0, 0])
    undecided = two_classes(0.5, 0.9)
    assert mcnemar_test(labels, undecided, two_classes(0.9, 0.9)).only_second_right == 1
    torn = np.concatenate([two_classes(0.9, 0.9), two_classes(0.3, 0.0)])  # means 0.6 and 0.45
    found = mcnemar_test(labels, torn, two_classes(0.9, 0.9))
    assert (found.only_first_right, found.only_second_right) == (0, 1)


def test_refusals_must_be_settled_before_models_are_compared() -> None:
    refused = THREE_OF_FOUR.copy()
    refused[0, 1] = np.nan
    with pytest.raises(ValueError, match="refused patient"):
        delong_test(LABELS, refused, PERFECT)
    with pytest.raises(ValueError, match=r"none of \[1\]"):
        delong_test(np.zeros(4, np.int64), THREE_OF_FOUR, PERFECT)
