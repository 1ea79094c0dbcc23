"""Six grey-level statistics, and the forest that guesses labels from them."""

import csv
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.evaluation import (
    cross_validated_forest,
    patient_auc,
    picture_statistics,
    six_statistics_baseline,
)

by_patient = partial(cross_validated_forest, classes=2, what="six statistics")


def statistics_that_give_the_label_away(
    labels: np.ndarray, strength: float = 3.0, seed: int = 0
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(labels), 6)) + strength * labels[:, None]


def test_the_six_statistics_of_a_picture_by_hand() -> None:
    picture = np.zeros((4, 4), np.uint8)
    picture[:, 2:] = 100
    picture[:, 3] = 200
    (found,) = picture_statistics(picture[None])
    mean, black, foreground_mean, foreground_sd, foreground_p5, gradient = found
    assert mean == 75
    assert black == 0.5
    assert (foreground_mean, foreground_sd, foreground_p5) == (150, 50, 100)
    # along a row 0 0 100 200: differences 0 at the edge, 50 and 100 inside, 100 at the edge
    assert gradient == pytest.approx((0 + 50 + 100 + 100) / 4)


def test_a_black_picture_has_statistics_too() -> None:
    assert picture_statistics(np.zeros((1, 8, 8), np.uint8)).tolist() == [[0, 1, 0, 0, 0, 0]]


def test_pictures_in_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        picture_statistics(np.zeros((1, 8, 8), np.float32))  # type: ignore[arg-type]


def test_the_baseline_learns_from_training_slices_and_answers_for_test_slices() -> None:
    train_labels, test_labels = np.tile([0, 1], 30), np.tile([0, 1], 10)
    test = statistics_that_give_the_label_away(test_labels, seed=1)
    test[3] = np.nan
    baseline = six_statistics_baseline(
        statistics_that_give_the_label_away(train_labels), train_labels, test, classes=3
    )
    assert baseline.probabilities.shape == (20, 3)
    assert np.isnan(baseline.probabilities[3]).all(), "no picture, no answer"
    answered = ~np.isnan(baseline.probabilities[:, 0])
    assert (baseline.probabilities.argmax(axis=1) == test_labels)[answered].all()
    assert (baseline.probabilities[answered, 2] == 0).all(), "a class it never saw"
    assert "60 training slices" in baseline.how


def test_cross_validation_never_answers_for_a_patient_it_was_fitted_on() -> None:
    # statistics that name the patient but not the class: only a leak could guess the label
    patient = np.arange(24).repeat(6)
    labels = np.random.default_rng(3).permutation(np.tile([0, 1], 12))[patient]
    statistics = np.random.default_rng(4).normal(size=(24, 6))[patient]
    groups = [f"patient {number}" for number in patient]
    baseline = by_patient(statistics, labels, groups)
    assert patient_auc(labels, baseline.probabilities, groups) < 0.75
    assert "5-fold" in baseline.how


def test_cross_validation_finds_a_confound() -> None:
    labels = np.tile([0, 1], 20)
    groups = [f"patient {number}" for number in range(40)]
    statistics = statistics_that_give_the_label_away(labels)
    baseline = by_patient(statistics, labels, groups)
    assert patient_auc(labels, baseline.probabilities, groups) > 0.95


@pytest.mark.parametrize(
    "labels", [[0, 0, 0], [0, 0, 1]], ids=["one class", "one patient of a class"]
)
def test_a_test_set_too_small_for_folds_gets_no_answer_and_the_reason(labels: list[int]) -> None:
    baseline = by_patient(np.zeros((3, 6)), np.array(labels), ["a", "b", "c"])
    assert np.isnan(baseline.probabilities).all()
    assert "two patients per class" in baseline.how


@pytest.mark.real_data
def test_the_published_pictures_give_their_hospital_away(real_data: Path) -> None:
    """Patient AUC about 0.9 without a lung: the line that every network has to beat."""
    folder = real_data / "song2021"
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))[::3]
    pictures = [cv2.imread(str(folder / row["path"]), cv2.IMREAD_GRAYSCALE) for row in rows]
    statistics = np.concatenate([picture_statistics(picture[None]) for picture in pictures])
    labels = np.array([int(row["label"] != "covid") for row in rows])
    groups = [row["patient_id"] for row in rows]
    baseline = by_patient(statistics, labels, groups)
    assert patient_auc(labels, baseline.probabilities, groups) > 0.85
