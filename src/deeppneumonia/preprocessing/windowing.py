"""From Hounsfield units to the grey levels that a radiologist, or a network, looks at."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit, Volume
from deeppneumonia.errors import PreprocessingError
from deeppneumonia.preprocessing.config import PreprocessConfig

DARK, BRIGHT = 64, 224
"""Grey levels that the lung's percentiles below become under Intensity.LUNG."""

DARK_PERCENTILE, BRIGHT_PERCENTILE = 10.0, 99.0
"""Aerated lung, and vessels or consolidation: present in every slice, sick or healthy."""

MIN_SPAN = 16
"""Least distance between the two percentiles: below it, a stretch would only enlarge noise."""


class NotHounsfieldError(PreprocessingError):
    """A window in HU was asked of a volume whose grey levels have no known relation to HU."""

    def __init__(self) -> None:
        super().__init__(
            "This volume holds grey levels of pictures (GREY), not Hounsfield units, so no window "
            "can be applied to it. Read the original DICOM, NIfTI, MHA or NRRD instead."
        )


def apply_window(hu: NDArray[Any], *, center_hu: float, width_hu: float) -> NDArray[np.uint8]:
    """Map a window of Hounsfield units onto the grey levels 0 to 255.

    Args:
        hu: CT values of any shape, in HU.
        center_hu: middle of the window; -600 for lung.
        width_hu: full width of the window, more than 1; 1500 for lung.

    Returns:
        An array of the same shape. 0 is at or below the window, 255 above it.

    Raises:
        ValueError: if width_hu is 1 or less, for which the function is not defined.

    Source: DICOM PS3.3 C.11.2.1.2.1, the LINEAR function.

    >>> apply_window(np.array([-1400, -600, 400], np.int16), center_hu=-600, width_hu=1500)
    array([  0, 128, 255], dtype=uint8)
    """
    if width_hu <= 1:
        raise ValueError(f"width_hu must be more than 1, not {width_hu}")
    if hu.dtype == np.int16:
        return np.asarray(_grey_of_int16(center_hu, width_hu).take(hu.view(np.uint16)))
    return _through(hu, center_hu, width_hu)


@lru_cache(maxsize=16)
def _grey_of_int16(center_hu: float, width_hu: float) -> NDArray[np.uint8]:
    """(65536,): the grey level of every int16, by its bits: looked up in a tenth of the time."""
    return _through(np.arange(65536, dtype=np.uint16).view(np.int16), center_hu, width_hu)


def _through(hu: NDArray[Any], center_hu: float, width_hu: float) -> NDArray[np.uint8]:
    grey = (hu - (center_hu - 0.5)) / (width_hu - 1) + 0.5
    return np.round(255 * grey.clip(0, 1)).astype(np.uint8)


def in_lung_window(pixels: NDArray[Any], unit: Unit, config: PreprocessConfig) -> NDArray[np.uint8]:
    """One slice in a config's lung window, or as it is for GREY."""
    if unit is Unit.HU:
        center, width = config.window_center_hu, config.window_width_hu
        return apply_window(pixels, center_hu=center, width_hu=width)
    return np.asarray(pixels, np.uint8)


def window_slice(
    volume: Volume, index: int, *, center_hu: float, width_hu: float
) -> NDArray[np.uint8]:
    """Slice `index` of a volume in HU through a window, as (rows, columns).

    Raises:
        NotHounsfieldError: for a GREY volume.
    """
    if volume.unit is not Unit.HU:
        raise NotHounsfieldError
    return apply_window(volume.slice(index), center_hu=center_hu, width_hu=width_hu)


def stretch_lung(grey: NDArray[np.uint8], lung: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Map the lung's own dark and bright percentiles onto DARK and BRIGHT, clipped to 0 to 255.

    The same lung seen through two windows, or by two scanners, so gets nearly the same levels.

    Args:
        grey: (rows, columns).
        lung: (rows, columns); the percentiles are taken inside it.
    """
    counts = np.bincount(grey[lung], minlength=256).cumsum()
    dark, bright = (
        int(np.searchsorted(counts, percentile / 100 * counts[-1]))
        for percentile in (DARK_PERCENTILE, BRIGHT_PERCENTILE)
    )
    slope = (BRIGHT - DARK) / max(bright - dark, MIN_SPAN)
    table = np.round(DARK + slope * (np.arange(256) - dark)).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table), np.uint8)
