"""From the aerated part of one lung to the whole lung, consolidation at the pleura included."""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.preprocessing.morphology import (
    Mask,
    close_disk,
    convex_hull,
    fill_holes,
    open_disk,
)

# Lengths are shares of the body's length scale, the square root of its area in the slice, so
# that they hold for any pixel size: about 270 mm in an adult.
BAY_RADIUS = 0.05
"""Bays that a disk of this radius cannot enter are vessels and consolidation, not heart."""

COSTAL_DEPTH = 0.18
"""Deepest consolidation that is bridged between aerated lung and chest wall."""

COSTAL_WIDTH = 0.036
"""Narrower bridges are chance."""

HOLE_AREA = 0.04
"""Share of the body's area up to which a hole in a lung is vessel, nodule or consolidation."""

ANGLES = 720


def cover_lung(aerated: Mask, *, center: tuple[float, float], body_area: float) -> Mask:
    """The whole of one lung, from the part of it that holds air.

    Args:
        aerated: (rows, columns), the left lung or the right.
        center: (x, y) of the chest, on whose far side of the lung the ribs are.
        body_area: in pixels.
    """
    scale = body_area**0.5
    lung = fill_holes(close_disk(aerated, BAY_RADIUS * scale), HOLE_AREA * body_area)
    costal = open_disk(_costal_bays(lung, center, COSTAL_DEPTH * scale), COSTAL_WIDTH * scale / 2)
    return fill_holes(close_disk(lung | costal, 3), HOLE_AREA * body_area / 4)


def _costal_bays(lung: Mask, center: tuple[float, float], max_depth: float) -> Mask:
    """Where the lung falls short of its convex hull on the side of the ribs.

    That side of a lung is convex, so a bay there is consolidation; on the other side it is heart
    or liver. Seen from the middle of the chest, the bay lies behind the last of the lung.
    """
    hull = convex_hull(lung)
    left, top, width, height = cv2.boundingRect(lung)
    reach_x = max(abs(left - center[0]), abs(left + width - center[0]))
    reach_y = max(abs(top - center[1]), abs(top + height - center[1]))
    radius = float(np.hypot(reach_x, reach_y)) + 2
    size = (int(radius), ANGLES)
    rays, hull_rays = (
        np.asarray(cv2.warpPolar(mask, size, center, radius, cv2.INTER_NEAREST), np.uint8)
        for mask in (lung, hull)
    )
    behind = _behind_the_last(rays) & hull_rays
    behind[behind.sum(axis=1) > max_depth] = 0
    back = cv2.warpPolar(
        behind, lung.shape[::-1], center, radius, cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    return hull & np.asarray(back, np.uint8)


def _behind_the_last(rays: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(angles, radii): 1 beyond the outermost 1 of each ray that has any."""
    beyond = 1 - np.maximum.accumulate(rays[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(beyond & rays.max(axis=1, keepdims=True), np.uint8)
