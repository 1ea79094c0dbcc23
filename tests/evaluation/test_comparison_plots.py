"""The figures of a comparison: one curve and one matrix for each network, at any number of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.evaluation.comparison_plots import save_confusions, save_roc_of_all

NAMES = ("covid", "bacterial", "healthy")


def answers(classes: int, repeats: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % classes
    return rng.dirichlet([1] * classes, (repeats, 30)) * 0.6 + np.eye(classes)[labels] * 0.4


def colours_in(path: Path) -> set[tuple[int, ...]]:
    """Every colour (red, green, blue) that covers 100 pixels or more."""
    picture = cv2.imread(str(path))
    found, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(int(value) for value in row[::-1]) for row in found[counts >= 100]}


BLUE, VERMILION = (0, 114, 178), (213, 94, 0)  # the first two of Okabe and Ito


@pytest.mark.parametrize(("classes", "repeats"), [(2, 1), (2, 3), (3, 1)])
def test_every_network_has_a_curve_of_its_own_colour(
    classes: int, repeats: int, tmp_path: Path
) -> None:
    path = tmp_path / "roc.png"
    labels = np.arange(30) % classes
    one = {"resnet50": answers(classes, repeats, 0)}
    save_roc_of_all(labels, one, NAMES[:classes], path, title="one")
    assert BLUE in colours_in(path) and VERMILION not in colours_in(path)
    both = {**one, "drenet": answers(classes, repeats, 1)}
    save_roc_of_all(labels, both, NAMES[:classes], path, title="two")
    assert {BLUE, VERMILION} <= colours_in(path)


def test_the_baseline_takes_no_networks_colour(tmp_path: Path) -> None:
    path = tmp_path / "roc.png"
    found = {"six-statistics": answers(2, 1, 0), "resnet50": answers(2, 1, 1)}
    save_roc_of_all(np.arange(30) % 2, found, NAMES[:2], path, title="", baseline="six-statistics")
    assert BLUE in colours_in(path) and VERMILION not in colours_in(path)


def test_a_figure_is_made_where_a_class_is_missing(tmp_path: Path) -> None:
    save_roc_of_all(
        np.zeros(30, np.int64), {"a": answers(2, 1, 0)}, NAMES[:2], tmp_path / "r.png", title=""
    )
    assert (tmp_path / "r.png").stat().st_size > 1000


@pytest.mark.parametrize("networks", [1, 4, 6])
def test_all_matrices_stand_in_one_light_picture(networks: int, tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    matrices = {f"n{n}": [[20.5, 4.5], [3.0, 27.0]] for n in range(networks)}
    save_confusions(matrices, NAMES[:2], path, title="many")
    picture = cv2.imread(str(path))
    assert picture.shape[1] >= 400 * min(networks, 4)
    assert picture.mean() > 150
