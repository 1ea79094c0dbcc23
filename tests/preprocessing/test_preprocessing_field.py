"""Fields wider than a chest, as PET-CT has them: the lungs are the same, and lie where they lay."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Box, LungSlice, Unit, volume_of
from deeppneumonia.preprocessing import Fill, PreprocessConfig, examine
from deeppneumonia.preprocessing.field import field_window

MM = 0.7
BLACK = PreprocessConfig(fill=Fill.BLACK, picture_px=224)
WHOLE = (slice(0, 512), slice(0, 512))


def looked_at(hu: NDArray[Any], down_mm: float, along_mm: float) -> LungSlice:
    (kept,) = examine(volume_of(hu[None], Unit.HU, (5.0, down_mm, along_mm)), BLACK).kept
    return kept


def in_wide_field(
    slice_: NDArray[Any], rows: int, columns: int, field_mm: float, outside: float
) -> NDArray[Any]:
    """A drawn slice of 358 mm in a wider field, above its middle and to one side of it."""
    height, width = (round(512 * MM * count / field_mm) for count in (rows, columns))
    small = cv2.resize(slice_.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    wide = np.full((rows, columns), outside, np.float32)
    top, left = (rows - height) // 3, (columns - width) * 2 // 3
    wide[top : top + height, left : left + width] = small
    return wide


def with_arms(wide: NDArray[Any], field_mm: float) -> NDArray[np.int16]:
    """An arm of 80 mm on either side of the body, apart from it."""
    scale = wide.shape[1] / field_mm
    columns = np.flatnonzero((wide > -400).any(axis=0))
    row = round(float(np.flatnonzero((wide > -400).any(axis=1)).mean()))
    for column in (columns[0] - 50 * scale, columns[-1] + 50 * scale):
        cv2.circle(wide, (round(column), row), round(40 * scale), 40.0, cv2.FILLED)
    return wide.round().astype(np.int16)


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("size", [1.0, 0.7])
@pytest.mark.parametrize(
    ("rows", "columns", "field_mm"),
    [(512, 512, 450.0), (512, 512, 700.0), (512, 512, 780.0), (256, 512, 700.0)],
    ids=str,
)
def test_lungs_in_a_wide_field_are_those_of_an_ordinary_one(
    chest: Callable[..., Any], rows: int, columns: int, field_mm: float, size: float,
    consolidated: bool,
) -> None:  # fmt: skip
    drawn = chest(size=size, consolidated=consolidated)
    ordinary = looked_at(drawn.hu, MM, MM)
    wide = with_arms(in_wide_field(drawn.hu, rows, columns, field_mm, -1024), field_mm)
    found = looked_at(wide, field_mm / rows, field_mm / columns)
    assert found.grey.shape == found.lung_mask.shape == (rows, columns)
    as_ordinary = in_wide_field(ordinary.lung_mask, rows, columns, field_mm, 0) > 0.5
    overlap = (as_ordinary & found.lung_mask).sum()
    assert 2 * overlap / (as_ordinary.sum() + found.lung_mask.sum()) > 0.95
    lung, same = found.picture > 0, ordinary.picture > 0
    assert 2 * (lung & same).sum() / (lung.sum() + same.sum()) > 0.95


def test_what_is_marked_on_the_picture_lies_in_the_wide_field(chest: Callable[..., Any]) -> None:
    wide = with_arms(in_wide_field(chest().hu, 512, 512, 700.0, -1024), 700.0)
    found = looked_at(wide, 700 / 512, 700 / 512)
    left, top, width, height = cv2.boundingRect((found.picture > 0).astype(np.uint8))
    back = found.frame.to_source(Box(left, top, left + width, top + height))
    x, y, across, down = cv2.boundingRect(found.lung_mask.astype(np.uint8))
    slack = 4.5 * found.frame.x_scale
    expected = (x, y, x + across, y + down)
    assert (back.x0, back.y0, back.x1, back.y1) == pytest.approx(expected, abs=slack)


@pytest.mark.parametrize(
    ("value", "unit", "spacing_mm"),
    [
        (40, Unit.HU, (5.0, 0.8, 0.8)),
        (-1000, Unit.HU, (5.0, 1.5, 1.5)),
        (120, Unit.GREY, (5.0, 1.5, 1.5)),
        (40, Unit.HU, None),
    ],
    ids=["no wider than a chest", "nobody in it", "grey", "of unknown size"],
)
def test_other_slices_are_looked_at_whole(value: int, unit: Unit, spacing_mm: Any) -> None:
    pixels = np.full((512, 512), 0 if unit is Unit.GREY else -1000)
    pixels[200:300, 200:300] = value
    volume = volume_of(pixels[None].astype(np.int16), unit, spacing_mm)
    assert field_window(pixels.astype(np.int16), volume) == WHOLE


@pytest.mark.parametrize("spacing_mm", [(5.0, 1e7, 1e7), (5.0, 1e7, 1e-4)], ids=str)
def test_a_mad_spacing_takes_no_memory(spacing_mm: Any) -> None:
    pixels = np.full((64, 64), 40, np.int16)
    rows, columns = field_window(pixels, volume_of(pixels[None], Unit.HU, spacing_mm))
    assert 0 <= rows.start < rows.stop <= 64 and 0 <= columns.start < columns.stop <= 64
