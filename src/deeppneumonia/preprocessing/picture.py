"""From a slice and its lung mask to the square picture that a network sees."""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import PictureFrame
from deeppneumonia.preprocessing.background import fill_background
from deeppneumonia.preprocessing.config import Fill, Intensity, PreprocessConfig
from deeppneumonia.preprocessing.morphology import disk
from deeppneumonia.preprocessing.windowing import stretch_lung

RIM_PX = 3
"""Picture pixels trimmed off the lung: half chest wall, they would draw its outline in white."""


def make_picture(
    grey: NDArray[np.uint8], lung: NDArray[np.bool_], config: PreprocessConfig
) -> tuple[NDArray[np.uint8], PictureFrame]:
    """Cut a slice to its lungs and bring it to the network's size, its shape kept.

    Args:
        grey: (rows, columns), the slice in the lung window; its pixels are square.
        lung: (rows, columns), at least one pixel true.
        config: size, intensity and background.

    Returns:
        The picture (picture_px, picture_px), and how to get from it back to the slice. Its lung
        pixels are 1 to 255; with Fill.BLACK all others are 0.
    """
    if config.intensity is Intensity.LUNG:
        grey = stretch_lung(grey, lung)
    left, top, side = _square_around(lung)
    px = config.picture_px
    # Resized before it is masked: black from outside must not bleed into the rim of the lung.
    shrinks = side > px
    picture = cv2.resize(
        _cut(grey, left, top, side),
        (px, px),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    mask = _trimmed(cv2.resize(_cut(255 * lung.astype(np.uint8), left, top, side), (px, px)) > 127)
    cut = np.where(mask, np.maximum(picture, 1), 0).astype(np.uint8)
    if config.fill is Fill.FILL:
        cut = fill_background(cut, copies=config.fill_copies)
    return cut, PictureFrame(side / px, side / px, left, top)


def marks_on_picture(marks: NDArray[np.bool_], frame: PictureFrame, side: int) -> NDArray[np.bool_]:
    """Marks on a slice (rows, columns), such as a mask, as its picture (side, side) shows them."""
    return on_picture(np.where(marks, 255, 0).astype(np.uint8), frame, side) > 127


def on_picture(grey: NDArray[np.uint8], frame: PictureFrame, side: int) -> NDArray[np.uint8]:
    """The part of a slice (rows, columns) that its picture (side, side) shows, nothing cut off."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, frame.matrix, (side, side), flags=how), np.uint8)


def _square_around(lung: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Left, top and side of the square around the lung's bounding rectangle, centred on it."""
    left, top, width, height = cv2.boundingRect(lung.astype(np.uint8))
    side = max(width, height)
    return left - (side - width) // 2, top - (side - height) // 2, side


def _trimmed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its rim; as it was if nothing else would be left."""
    inside = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    trimmed = cv2.erode(inside, disk(RIM_PX))[1:-1, 1:-1] > 0
    return trimmed if trimmed.any() else mask


def _cut(pixels: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """The (side, side) square at (left, top), 0 where it reaches beyond the slice."""
    rows, columns = pixels.shape
    square = np.zeros((side, side), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, columns), min(top + side, rows)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    return square
