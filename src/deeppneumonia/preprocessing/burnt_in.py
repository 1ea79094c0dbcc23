"""Does text stand in the pictures? Names that are burnt into pixels survive every cleaned header.

A line of text is many bright strokes side by side on the dark beside the body. What lies on the
body itself is not looked for: ribs and vessels are strokes like that.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import QualityFlag, Unit
from deeppneumonia.preprocessing.examination import Examination
from deeppneumonia.preprocessing.morphology import select

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


def text_flags(unit: Unit, examination: Examination) -> tuple[QualityFlag, ...]:
    """One flag when text stands beside the body on one of the slices that examining kept whole."""
    for index, pixels in examination.whole.items():
        if has_text(pixels, unit):
            message = (
                f"What looks like text stands beside the body on slice {index}: it may name "
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
    may_be_letters[0] = False  # the dark itself
    may_be_letters &= _touched(shapes, values >= BRIGHT_FROM[unit], len(boxes))
    if not may_be_letters.any():
        return False
    may_be_letters &= _touched(shapes, _next_to_the_outside(light), len(boxes))
    writing = np.pad(may_be_letters[shapes], ((0, 0), (1, 0)))
    strokes = (writing[:, 1:] & ~writing[:, :-1]).sum(axis=1)
    return bool((strokes >= STROKES_IN_A_ROW).any())


def _touched(shapes: Any, pixels: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """(count,): which shapes hold one of these pixels."""
    touched = np.zeros(count, np.bool_)
    touched[shapes[pixels]] = True
    return touched


def _next_to_the_outside(light: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels in or next to the dark that reaches the picture's edge; a lung's dark does not."""
    count, darks = cv2.connectedComponents((~light).astype(np.uint8), connectivity=4)
    at_edge = np.zeros(count, np.bool_)
    at_edge[np.concatenate([darks[0], darks[-1], darks[:, 0], darks[:, -1]])] = True
    at_edge[0] = False
    return cv2.dilate(select(darks, at_edge), np.ones((3, 3), np.uint8)) > 0
