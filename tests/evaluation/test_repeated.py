"""Means over repeats: equal to plain scores where there is one, and never falsely narrow."""

import numpy as np
import pytest

from deeppneumonia.evaluation import score, score_with_intervals
from deeppneumonia.evaluation.repeated import mean_confusion, mean_scores

LABELS = np.array([0, 0, 0, 1, 1, 1])
PATIENTS = list("abcdef")
RIGHT = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 3)
ONE_WRONG = np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] + [[0.2, 0.8]] * 3)  # its AUC is 6/9
WORDS = ("ill", "well")


def test_one_repeat_gives_what_plain_scoring_gives() -> None:
    plain = score_with_intervals(LABELS, ONE_WRONG, PATIENTS, WORDS, repeats=200)
    assert mean_scores(LABELS, ONE_WRONG[None], PATIENTS, WORDS, draws=200) == plain


def test_a_metric_is_the_mean_over_the_repeats() -> None:
    found = mean_scores(LABELS, np.stack([RIGHT, ONE_WRONG]), PATIENTS, WORDS, draws=50)
    assert found.metrics["auc"]["value"] == pytest.approx((1 + 6 / 9) / 2)
    assert found.metrics["recall"]["value"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.metrics["accuracy"]["value"] == pytest.approx((1 + 5 / 6) / 2)


def test_repeating_an_answer_makes_no_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    weight = rng.random((40, 2)) + 0.5 * np.eye(2)[labels]
    answers = weight / weight.sum(axis=1, keepdims=True)
    patients = [f"{n:02d}" for n in range(40)]
    once = mean_scores(labels, answers[None], patients, WORDS, draws=300)
    ten = mean_scores(labels, np.stack([answers] * 10), patients, WORDS, draws=300)
    for end in ("value", "low", "high"):  # 1e-12: sums in another order
        assert ten.metrics["auc"][end] == pytest.approx(once.metrics["auc"][end], abs=1e-12)


def test_confusion_is_the_mean_too() -> None:
    found = mean_confusion(LABELS, np.stack([RIGHT, ONE_WRONG]))
    assert found.tolist() == [[2.5, 0.5], [0, 3]]
    plain = score(LABELS, ONE_WRONG, WORDS).confusion
    assert mean_confusion(LABELS, ONE_WRONG[None]).tolist() == plain.tolist()


def test_names_must_fit_the_answers() -> None:
    with pytest.raises(ValueError, match="not names for 2 classes"):
        mean_scores(LABELS, RIGHT[None], PATIENTS, ("a", "b", "c"))
