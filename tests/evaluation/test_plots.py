"""Figures: what they are made from, and that they are made."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.evaluation import Answers, answer_set
from deeppneumonia.evaluation.curves import GRID, on_grid, roc_with_band
from deeppneumonia.evaluation.plots import save_confusion, save_reliability, save_roc

NAMES = ("covid", "bacterial", "healthy")


def answers(classes: int = 3, patients: int = 30) -> Answers:
    rng = np.random.default_rng(0)
    labels = np.arange(patients) % classes
    probabilities = rng.dirichlet([1] * classes, patients) * 0.6 + np.eye(classes)[labels] * 0.4
    probabilities[4] = np.nan
    groups = [f"patient {number:02d}" for number in range(patients)]
    return answer_set(labels, probabilities, groups, NAMES[:classes]).patients


def test_the_roc_curve_of_four_patients_by_hand() -> None:
    four = Answers(
        np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8]]), "abcd"
    )
    curve = roc_with_band(four, 0, repeats=10)
    assert curve is not None
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.true_positive_rate.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.auc["value"] == 0.75


def test_the_upper_edge_of_a_step_is_taken() -> None:
    heights = on_grid(np.array([0, 0, 0.5, 0.5, 1]), np.array([0, 0.5, 0.5, 1, 1]))
    assert heights[[0, 50, 99, 100, 200]].tolist() == [0.5, 0.5, 0.5, 1, 1]


def test_the_band_lies_around_the_curve() -> None:
    curve = roc_with_band(answers(2), 0, repeats=300)
    assert curve is not None
    middle = on_grid(curve.false_positive_rate, curve.true_positive_rate)
    low, high = curve.band
    assert low.shape == high.shape == GRID.shape
    assert (low <= middle).all() and (middle <= high).all()


def test_no_curve_is_drawn_where_a_class_is_missing() -> None:
    alone = Answers(np.array([0, 0]), np.array([[0.9, 0.1], [0.6, 0.4]]), "ab")
    assert roc_with_band(alone, 0) is None


@pytest.mark.parametrize("classes", [2, 3])
def test_every_figure_is_a_light_picture(classes: int, tmp_path: Path) -> None:
    drawn, names = answers(classes), NAMES[:classes]
    save_roc(drawn, names, tmp_path / "roc.png", repeats=50)
    save_confusion(drawn, names, tmp_path / "confusion.png")
    save_reliability(drawn, tmp_path / "reliability.png")
    for name in ("roc", "confusion", "reliability"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture.shape[1] == 900
        assert (picture[0, 0] == 255).all(), "white background"
        assert (picture < 128).any(), "something is drawn"


def test_a_curve_without_a_band_is_drawn_where_a_class_has_one_patient(tmp_path: Path) -> None:
    three = Answers(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), "abc")
    curve = roc_with_band(three, 0, repeats=10)
    assert curve is not None and np.isnan(curve.band).all()
    assert curve.auc == {"value": 1, "low": None, "high": None}
    save_roc(three, NAMES[:2], tmp_path / "roc.png", repeats=10)
    assert (tmp_path / "roc.png").exists()


def test_figures_of_a_set_without_answers_are_empty_and_not_an_error(tmp_path: Path) -> None:
    refused = Answers(np.array([0, 1]), np.full((2, 2), np.nan), "ab")
    save_roc(refused, NAMES[:2], tmp_path / "roc.png")
    save_confusion(refused, NAMES[:2], tmp_path / "confusion.png")
    save_reliability(refused, tmp_path / "reliability.png")
    assert len(list(tmp_path.iterdir())) == 3
