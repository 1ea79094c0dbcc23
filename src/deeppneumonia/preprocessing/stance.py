"""Which way round and which way up lungs stand, from their outline: grey pictures show no more.

The heart takes its room from the left lung, the liver from the right one, the spine stands between
both at the back. How much each part of the outline tells was learnt from training patients
(`benchmarks/fit_stance.py`): logistic regression on the difference between an outline and its
mirror image, so that a mirrored picture gets the same figure with the other sign.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
from numpy.typing import NDArray

CELLS = (12, 16)
"""Rows and columns of an outline, whatever the size of the lungs."""


@dataclass(frozen=True, slots=True)
class Stance:
    """Evidence, as log odds, that the lungs of a slice stand as those of a patient on the back.

    Below 0 the outline fits the other way better.
    """

    sides: float
    """That the patient's left lies at the picture's right."""

    upright: float
    """That the back lies at the bottom."""


def stance(lung: NDArray[np.bool_]) -> Stance:
    """Judge the lungs (rows, columns) of one axial slice; ValueError where there are none."""
    if not lung.any():
        raise ValueError("lungs that are not there stand in no way")
    seen = outline(lung)
    sides, upright = _learnt()
    return Stance(float((sides * seen).sum()), float((upright * seen).sum()))


def outline(lung: NDArray[np.bool_]) -> NDArray[np.float32]:
    """CELLS of the lungs' bounding rectangle: how much of each is lung, 0 to 1."""
    left, top, width, height = cv2.boundingRect(lung.astype(np.uint8))
    cut = lung[top : top + height, left : left + width].astype(np.float32)
    return np.asarray(cv2.resize(cut, CELLS[::-1], interpolation=cv2.INTER_AREA), np.float32)


@cache
def _learnt() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two patterns of CELLS: the first changes its sign when mirrored, the second when turned."""
    with as_file(files("deeppneumonia") / "preprocessing" / "stance.npz") as file:
        patterns = np.load(file, allow_pickle=False)
        return patterns["sides"].astype(np.float64), patterns["upright"].astype(np.float64)
