"""Does text stand in the pictures? Names that are burnt into pixels survive every cleaned header.

A line of text is many bright strokes side by side on the dark beside the body. What lies on the
body itself is not looked for: ribs and vessels are strokes like that.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import QualityFlag, Unit, Volume

DARK_BELOW = {Unit.HU: -300.0, Unit.GREY: 100.0}
BRIGHT_FROM = {Unit.HU: 400.0, Unit.GREY: 180.0}
"""Writing is drawn near the top of the scale; blankets and tables stay below."""

LETTER_PX = 4
"""Least height of a letter that a person could read."""

LARGEST_LETTER = 1 / 16
"""Of the picture's height."""

STROKES_IN_A_ROW = 8
"""So many strokes are crossed along one row of pixels through a word of some six letters. Clips
and wires on the skin give one each, and lie where they happen to lie."""


def text_flags(volume: Volume) -> tuple[QualityFlag, ...]:
    """One flag when text stands beside the body on the first, the middle or the last slice.

    Raises:
        StudyError: if one of them cannot be decoded.
    """
    for index in sorted({0, len(volume) // 2, len(volume) - 1}):
        if has_text(volume.slice(index), volume.unit):
            message = (
                f"What looks like text stands beside the body on slice {index + 1}: it may name "
                "the patient."
            )
            return (QualityFlag("burnt_in_text", message),)
    return ()


def has_text(picture: NDArray[np.generic], unit: Unit) -> bool:
    """Whether a line of text stands on the dark of a picture, (rows, columns) in HU or grey."""
    values = np.asarray(picture, np.float32)
    light = values > DARK_BELOW[unit]
    _, shapes, boxes, _ = cv2.connectedComponentsWithStats(light.astype(np.uint8), connectivity=8)
    heights = boxes[:, cv2.CC_STAT_HEIGHT]
    may_be_letters = (heights >= LETTER_PX) & (heights <= LARGEST_LETTER * len(values))
    for beside in (values >= BRIGHT_FROM[unit], _next_to_the_outside(light)):
        touched = np.zeros(len(boxes), bool)
        touched[np.unique(shapes[beside])] = True
        may_be_letters &= touched
    may_be_letters[0] = False  # the dark itself
    writing = np.pad(may_be_letters[shapes], ((0, 0), (1, 0)))
    strokes = (writing[:, 1:] & ~writing[:, :-1]).sum(axis=1)
    return bool((strokes >= STROKES_IN_A_ROW).any())


def _next_to_the_outside(light: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels in or next to the dark that reaches the picture's edge; a lung's dark does not."""
    _, darks = cv2.connectedComponents((~light).astype(np.uint8), connectivity=4)
    edges = (darks[0], darks[-1], darks[:, 0], darks[:, -1])
    outside = np.isin(darks, np.setdiff1d(np.unique(np.concatenate(edges)), 0))
    return cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
