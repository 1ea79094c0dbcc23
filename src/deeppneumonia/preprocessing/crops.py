"""Lungs in pictures that somebody has already cut to the lung, black everywhere else."""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.preprocessing.morphology import components, open_disk, without_specks

FOREGROUND = 12
"""Grey level above which a pixel was kept by whoever cut; JPEG leaves noise below it."""

MIN_PIECE_FRACTION = 0.003
"""Smaller pieces, as share of the picture, are crumbs of the cutting."""

TABLE_WIDTH_TO_HEIGHT = 3.0
"""A scanner table cut out by mistake is an arc at least this much wider than high.

On the 1,306 open pictures of this kind tables measure 3.7 to 6.3 and lungs, even two joined
ones, at most 2.3.
"""


def find_cut_lungs(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lungs of a picture that is already cut to them: its foreground, without a table.

    Args:
        grey: (rows, columns), black outside the lung.

    Returns:
        (rows, columns); nothing is true when only a table, or nothing, was cut out.
    """
    foreground = (cv2.medianBlur(grey, 5) > FOREGROUND).astype(np.uint8)
    foreground = open_disk(foreground, 1)
    lungs = without_specks(foreground, MIN_PIECE_FRACTION * grey.size)
    for piece in components(lungs, min_area=1, margin=0):
        rows, columns = piece.mask.shape
        if columns > TABLE_WIDTH_TO_HEIGHT * rows:
            lungs[piece.window][piece.mask > 0] = 0
    return lungs.astype(bool)
