"""Axial chest slices drawn from ellipses, whose lungs are known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

AIR, LUNG, TISSUE, BONE, VESSEL = -1000, -850, 40, 400, 20


@dataclass(frozen=True)
class Chest:
    """One drawn slice, in HU, with masks of what was drawn."""

    hu: NDArray[np.int16]
    lungs: NDArray[np.bool_]
    consolidation: NDArray[np.bool_]
    table: NDArray[np.bool_]
    trachea: NDArray[np.bool_]

    @property
    def grey(self) -> NDArray[np.uint8]:
        """The slice in a lung window, -600 HU wide 1500 HU."""
        return np.clip((self.hu + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)


def _ellipse(center: tuple[int, int], axes: tuple[int, int], angle: int = 0) -> NDArray[np.bool_]:
    canvas = np.zeros((512, 512), np.uint8)
    cv2.ellipse(canvas, center, axes, angle, 0, 360, 1, cv2.FILLED)
    return canvas.astype(bool)


def draw_chest(*, seed: int = 0, size: float = 1.0, consolidated: bool = False) -> Chest:
    """Body, ribs, two lungs with vessels, heart, trachea, and a hollow table below the back.

    Args:
        seed: of the vessels' places and the noise.
        size: 1 for a slice through the middle of the lungs; 0.3 for one near their end.
        consolidated: whether a dense lobe lies against the back of the lung on the right.
    """
    rng = np.random.default_rng(seed)
    hu = np.full((512, 512), AIR, np.float64)
    table = np.zeros((512, 512), np.uint8)
    for radius, thickness in ((900, 3), (925, 3)):
        cv2.ellipse(table, (256, 412 - 900), (radius, radius), 0, 60, 120, 1, thickness)
    hu[table > 0] = 100
    hu[_ellipse((256, 256), (215, 150))] = TISSUE
    axes = (round(78 * size), round(112 * size))
    right, left = _ellipse((158, 256), axes, 8), _ellipse((354, 256), axes, -8)
    for x in (158, 354):
        for angle in range(0, 360, 40):
            cv2.ellipse(hu, (x, 256), (88, 122), 0, angle, angle + 18, BONE, 8)
    heart, trachea = _ellipse((275, 225), (62, 55)), _ellipse((256, 285), (11, 11))
    lungs = (right | left) & ~heart
    hu[lungs] = LUNG
    hu[heart] = TISSUE
    for x, y in rng.integers(90, 420, (150, 2)).tolist():
        if lungs[y, x]:
            cv2.circle(hu, (x, y), int(rng.integers(1, 4)), VESSEL, cv2.FILLED)
    hu[trachea] = AIR
    consolidation = _ellipse((380, 345), (34, 22), -30) & lungs if consolidated else lungs & False
    hu[consolidation] = TISSUE
    hu = cv2.GaussianBlur(hu, (0, 0), 0.8) + rng.normal(0, 25, hu.shape)
    hollow = cv2.ellipse(table * 0, (256, 412 - 900), (912, 912), 0, 60, 120, 1, 28)
    return Chest(hu.round().astype(np.int16), lungs, consolidation, hollow > 0, trachea)


@pytest.fixture(scope="session")
def chest() -> Callable[..., Chest]:
    """Draws a slice; see `draw_chest`."""
    return draw_chest
