"""Pixels that are not square: lungs keep their shape, and everything finds its way back."""

import hashlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Box, LungSlice, Unit, volume_of
from deeppneumonia.preprocessing import (
    Fill,
    Intensity,
    PreprocessConfig,
    apply_window,
    examine,
    find_lungs,
)
from deeppneumonia.preprocessing.picture import make_picture
from deeppneumonia.preprocessing.squares import MAX_SIDE_PX, SquareGrid

MM = 0.7
BLACK = PreprocessConfig(fill=Fill.BLACK, picture_px=224)


def examined(hu: NDArray[Any], down_mm: float, along_mm: float) -> LungSlice:
    (kept,) = examine(volume_of(hu[None], Unit.HU, (5.0, down_mm, along_mm)), BLACK).kept
    return kept


def squashed(hu: NDArray[Any], rows: int, columns: int) -> NDArray[np.int16]:
    small = cv2.resize(hu.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return small.round().astype(np.int16)


def extent(mask: NDArray[Any]) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return left, top, left + width, top + height


@pytest.mark.parametrize("fill", list(Fill))
@pytest.mark.parametrize("intensity", list(Intensity))
@pytest.mark.parametrize("spacing_mm", [None, (5, MM, MM), (5, 0.703125, 0.70312)], ids=str)
def test_square_pixels_are_not_touched_by_a_single_bit(
    chest: Callable[..., Any], spacing_mm: Any, intensity: Intensity, fill: Fill
) -> None:
    config = PreprocessConfig(fill=fill, intensity=intensity)
    hu = chest().hu
    grey = apply_window(hu, center_hu=config.window_center_hu, width_hu=config.window_width_hu)
    lung = find_lungs(hu, Unit.HU)
    picture, frame = make_picture(grey, lung, config)
    (kept,) = examine(volume_of(hu[None], Unit.HU, spacing_mm), config).kept
    for mine, plain in ((kept.picture, picture), (kept.grey, grey), (kept.lung_mask, lung)):
        assert hashlib.sha256(mine.tobytes()).digest() == hashlib.sha256(plain.tobytes()).digest()
    assert kept.frame == frame and frame.x_scale == frame.y_scale
    assert kept.lung_fraction == lung.mean()


@pytest.mark.parametrize(
    ("rows", "columns"), [(256, 512), (512, 256), (170, 512), (512, 200)], ids=str
)
def test_a_network_sees_the_same_lungs_whatever_the_shape_of_the_pixels(
    chest: Callable[..., Any], rows: int, columns: int
) -> None:
    hu = chest().hu
    square = examined(hu, MM, MM)
    found = examined(squashed(hu, rows, columns), MM * 512 / rows, MM * 512 / columns)
    assert found.grey.shape == found.lung_mask.shape == (rows, columns)
    assert found.lung_fraction == pytest.approx(square.lung_fraction, rel=0.02)
    lung, same = found.picture > 0, square.picture > 0
    assert 2 * (lung & same).sum() / (lung.sum() + same.sum()) > 0.97
    inside = lung & same
    change = found.picture[inside].astype(float) - square.picture[inside]
    assert (
        abs(change.mean()) < 2
        and np.corrcoef(found.picture[inside], square.picture[inside])[0, 1] > 0.6
    )  # what is left is the noise that squashing has averaged away


@pytest.mark.parametrize(("rows", "columns"), [(256, 512), (512, 256)], ids=str)
def test_boxes_of_the_picture_come_back_to_source_pixels(
    chest: Callable[..., Any], rows: int, columns: int
) -> None:
    found = examined(squashed(chest().hu, rows, columns), MM * 512 / rows, MM * 512 / columns)
    left, top, right, bottom = extent(found.picture > 0)
    back = found.frame.to_source(Box(left, top, right, bottom))
    # The picture's rim of 3 pixels is trimmed off the lung; a pixel more is rounding.
    slack = 4.5 * max(found.frame.x_scale, found.frame.y_scale)
    assert (back.x0, back.y0, back.x1, back.y1) == pytest.approx(extent(found.lung_mask), abs=slack)
    assert found.frame.x_scale / found.frame.y_scale == pytest.approx(columns / rows, rel=0.01)


def test_a_grid_never_grows_without_measure() -> None:
    slices = np.zeros((1, 512, 512), np.int16)
    thin = volume_of(slices, Unit.HU, (5.0, 0.001, 50.0))
    assert max(SquareGrid.of(slices[0], thin).square) == MAX_SIDE_PX


def test_fractional_values_stay_fractional() -> None:
    half = np.full((1, 64, 64), -0.5, np.float32)
    grid = SquareGrid.of(half[0], volume_of(half, Unit.HU, (5.0, 1.4, 0.7)))
    assert grid.square == (128, 64)
    assert (grid.to_square(half[0]) == -0.5).all()
