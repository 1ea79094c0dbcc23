"""Slices far wider than a chest, as PET-CT and radiotherapy reconstruct them: cut to the body.

Lungs are looked for at a fixed number of pixels, and a slice with little lung in it counts as
incomplete. Both know the fields of diagnostic CT; in one of 700 mm a chest wall would be too thin
to be seen and the whole lung would be a few percent of the slice.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit, Volume
from deeppneumonia.domain.volume import WIDEST_CHEST_MM
from deeppneumonia.preprocessing.morphology import largest, open_disk
from deeppneumonia.preprocessing.view import AIR_BELOW_HU

Window = tuple[slice, slice]
"""Rows and columns of a slice."""

LEAST_MM = 350.0
"""The usual field of a chest; the neck and a child are shown in no less."""

MARGIN_MM = 20.0
COARSE_MM = 4.0
"""Side of the pixels in which the body is looked for; a table is thinner than three of them."""


def field_window(pixels: NDArray[Any], volume: Volume) -> Window:
    """The part of a slice to look at: the body where the field is wider than any chest needs.

    Args:
        pixels: (rows, columns) of this volume; cut only if they are HU of known size.
    """
    rows, columns = pixels.shape
    _, *pixel_mm = volume.spacing_mm
    field_mm = rows * pixel_mm[0], columns * pixel_mm[1]
    whole = slice(0, rows), slice(0, columns)
    if volume.unit is not Unit.HU or not volume.has_geometry or max(field_mm) <= WIDEST_CHEST_MM:
        return whole
    height, width = (
        max(1, min(count, round(side / COARSE_MM)))
        for count, side in zip(pixels.shape, field_mm, strict=True)
    )
    tissue = cv2.resize((pixels > AIR_BELOW_HU).astype(np.float32), (width, height))
    body = largest(open_disk((tissue > 0.5).astype(np.uint8), 1))
    if not body.any():
        return whole
    left, top, wide, high = cv2.boundingRect(body)
    return (
        _span(top, high, rows, field_mm[0] / height, pixel_mm[0]),
        _span(left, wide, columns, field_mm[1] / width, pixel_mm[1]),
    )


def _span(first: int, count: int, pixels: int, coarse_mm: float, pixel_mm: float) -> slice:
    """So many coarse pixels with their margin, as pixels of the slice."""
    middle_mm = (first + count / 2) * coarse_mm
    half_mm = max(count * coarse_mm + 2 * MARGIN_MM, LEAST_MM) / 2
    start, stop = ((middle_mm + side * half_mm) / pixel_mm for side in (-1, 1))
    return slice(max(0, round(start)), min(pixels, round(stop)))
