"""Of a slice far wider than a chest, as PET-CT has them, the part that a picture shows."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Box, Detail, KeySlice
from deeppneumonia.domain.volume import WIDEST_CHEST_MM
from deeppneumonia.reports.document import PictureGeometry

AROUND_MM = 60.0
"""Chest wall and more, on every side of the lungs."""


def chest_part(key: KeySlice, geometry: PictureGeometry | None) -> KeySlice:
    """The slice cut to its lungs with what surrounds them, if its field is wider than a chest's."""
    if geometry is None or not key.lung_mask.any():
        return key
    pixel_mm = geometry.row_mm, geometry.column_mm
    if max(n * mm for n, mm in zip(key.grey.shape, pixel_mm, strict=True)) <= WIDEST_CHEST_MM:
        return key
    down, along = (
        _span(np.flatnonzero(key.lung_mask.any(axis=1 - axis)), key.grey.shape[axis], mm)
        for axis, mm in enumerate(pixel_mm)
    )
    heat = key.saliency
    cut = None if heat is None else replace(heat, heat=heat.heat[down, along])
    details = tuple(_moved(one, along.start, down.start) for one in key.prediction.details)
    return KeySlice(
        prediction=replace(key.prediction, details=details),
        grey=key.grey[down, along],
        lung_mask=key.lung_mask[down, along],
        saliency=cut,
    )


def _span(lung: NDArray[np.intp], count: int, pixel_mm: float) -> slice:
    margin = round(AROUND_MM / pixel_mm)
    return slice(max(0, int(lung[0]) - margin), min(count, int(lung[-1]) + 1 + margin))


def _moved(detail: Detail, left: int, top: int) -> Detail:
    box = detail.box
    return replace(detail, box=Box(box.x0 - left, box.y0 - top, box.x1 - left, box.y1 - top))
