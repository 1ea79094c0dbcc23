"""Pointing, energy and hits, on pictures where the answer can be counted by hand."""

import numpy as np
import pytest

from deeppneumonia.evaluation.localisation import (
    energy_inside,
    hit_at,
    hits,
    pointing_hit,
    random_boxes,
    share_of_lung,
)

LESION = np.zeros((10, 10), bool)
LESION[2:4, 2:4] = True


def heat_at(*places: tuple[int, int]) -> np.ndarray:
    heat = np.zeros((10, 10), np.float32)
    for row, column in places:
        heat[row, column] = 1
    return heat


def test_the_hottest_place_hits_or_misses() -> None:
    assert pointing_hit(heat_at((2, 3)), LESION)
    assert not pointing_hit(heat_at((7, 7)), LESION)


def test_a_map_without_heat_points_nowhere() -> None:
    assert not pointing_hit(heat_at(), np.ones((10, 10), bool))
    assert energy_inside(heat_at(), LESION) == 0


def test_of_equally_hot_places_the_middle_one_points() -> None:
    assert pointing_hit(heat_at((2, 1), (2, 2), (2, 3)), LESION)


def test_energy_is_the_share_of_heat() -> None:
    assert energy_inside(heat_at((2, 2), (3, 3), (8, 8), (9, 9)), LESION) == 0.5


def test_a_box_hits_with_its_middle_and_not_with_its_rim() -> None:
    boxes = np.array([[2, 2, 4, 4], [3, 3, 9, 9], [-8, -8, -2, -2], [0, 0, 5, 5]], float)
    assert hits(boxes, LESION).tolist() == [True, False, False, True]
    assert not hit_at(boxes[1:], LESION, 2) and hit_at(boxes[1:], LESION, 3)


def test_chance_is_the_lesions_share_of_the_lung() -> None:
    lung = np.zeros((10, 10), bool)
    lung[:, :4] = True
    assert share_of_lung(LESION, lung) == 0.1
    with pytest.raises(ValueError, match="needs a lung"):
        share_of_lung(LESION, np.zeros((10, 10), bool))


def test_random_boxes_lie_in_the_lung_and_hit_as_often_as_chance_says() -> None:
    lung = np.zeros((10, 10), bool)
    lung[:, :4] = True
    boxes = np.tile(np.array([[0.0, 0.0, 4.0, 2.0]]), (4000, 1))
    drawn = random_boxes(lung, boxes, np.random.default_rng(0))
    assert np.allclose(drawn[:, 2] - drawn[:, 0], 4) and np.allclose(drawn[:, 3] - drawn[:, 1], 2)
    assert hits(drawn, lung).all()
    assert hits(drawn, LESION).mean() == pytest.approx(0.1, abs=0.02)
