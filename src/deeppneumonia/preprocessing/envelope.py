"""From the aerated part of one lung to the whole lung, consolidation at the pleura included."""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.preprocessing.morphology import (
    Mask,
    close_disk,
    fill_holes,
    open_disk,
    touching,
)

# Lengths are shares of the body's length scale, the square root of its area in the slice, so
# that they hold for any pixel size: about 270 mm in an adult.
BAY_RADIUS = 0.05
"""Bays that a disk of this radius cannot enter are vessels and consolidation, not heart."""

COSTAL_DEPTH = 0.18
"""Deepest consolidation that is bridged between aerated lung and chest wall."""

COSTAL_WIDTH = 0.018
"""Narrower bridges are chance."""

CHEST_RADIUS = 0.33
"""Ribs bend at least as much as a circle of this radius."""

SPINE_HALF_WIDTH = 0.09
"""Nothing is bridged so close to the midline: there it would be a vertebra."""

HOLE_AREA = 0.04
"""Share of the body's area up to which a hole in a lung is vessel, nodule or consolidation."""

ANGLES = 720
POLAR = cv2.INTER_NEAREST | cv2.WARP_FILL_OUTLIERS


def cover_lung(aerated: Mask, *, center: tuple[float, float], body_area: float) -> Mask:
    """The whole of one lung, from the part of it that holds air.

    Args:
        aerated: (rows, columns), the left lung or the right.
        center: (x, y) of the chest, on whose far side of the lung the ribs are.
        body_area: in pixels.
    """
    scale = body_area**0.5
    lung = fill_holes(close_disk(aerated, BAY_RADIUS * scale), HOLE_AREA * body_area)
    costal = open_disk(_costal_bays(lung, center, scale), COSTAL_WIDTH * scale / 2)
    whole = touching(lung | costal, lung)
    return fill_holes(close_disk(whole, 1.5), HOLE_AREA * body_area / 4)


def _costal_bays(lung: Mask, center: tuple[float, float], scale: float) -> Mask:
    """Where the lung falls short of its hull on the side of the ribs, and beside the spine.

    That side of a lung is convex, so a bay there is consolidation; on the other side it is heart
    or liver. Seen from the middle of the chest, the bay lies behind the last of the lung.
    """
    hull = _bulging_hull(lung, CHEST_RADIUS * scale, behind_y=center[1])
    return behind_the_last(lung, hull, center, scale, depth=COSTAL_DEPTH)


def behind_the_last(
    lung: Mask,
    hull: Mask,
    center: tuple[float, float],
    scale: float,
    *,
    depth: float,
    after: Mask | None = None,
) -> Mask:
    """What of the hull lies behind the last of the lung, seen from the middle of the chest.

    Args:
        lung: (rows, columns).
        hull: (rows, columns), how far to the ribs lung may reach.
        center: (x, y) of the chest.
        scale: the body's length scale, in pixels.
        depth: share of the scale; where more lies behind, nothing is taken.
        after: the part of the lung behind which to look; behind all of it when None.
    """
    spine = SPINE_HALF_WIDTH * scale
    hull = hull.copy()
    hull[:, max(round(center[0] - spine), 0) : max(round(center[0] + spine), 0)] = 0
    radius = float(np.hypot(*lung.shape))
    rays, hull_rays = (_rays(mask, radius, center) for mask in (lung, hull))
    behind = _behind_the_last(rays) & hull_rays
    if after is not None:
        behind[_outermost(_rays(after, radius, center)) < _outermost(rays)] = 0
    behind[behind.sum(axis=1) > depth * scale] = 0
    inverse = POLAR | cv2.WARP_INVERSE_MAP
    back = cv2.warpPolar(behind, lung.shape[::-1], center, radius, inverse)
    return hull & np.asarray(back, np.uint8)


def _bulging_hull(lung: Mask, radius: float, *, behind_y: float) -> Mask:
    """The lung's convex hull with edges bent outwards to arcs of this radius, as ribs are.

    Only edges behind `behind_y`: in front, a long edge may span the flat back of the sternum.
    """
    outlines, _ = cv2.findContours(lung, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = cv2.convexHull(np.concatenate(outlines))[:, 0, :].astype(float)  # (n, 2) x, y
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.hypot(edges[:, 0], edges[:, 1])[:, None]
    outwards = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / lengths
    middle = corners + edges / 2
    outwards *= np.sign(((middle - corners.mean(axis=0)) * outwards).sum(axis=1))[:, None]
    rise = np.where(middle[:, 1:] > behind_y, lengths**2 / (8 * radius), 0)
    arcs = [corners] + [
        corners + share * edges + 4 * share * (1 - share) * rise * outwards
        for share in (0.25, 0.5, 0.75)
    ]
    hull = np.zeros_like(lung)
    cv2.fillPoly(hull, [np.round(np.stack(arcs, axis=1).reshape(-1, 2)).astype(np.int32)], 1)
    return hull


def _rays(mask: Mask, radius: float, center: tuple[float, float]) -> NDArray[np.uint8]:
    """(angles, radii): the mask along rays from a center."""
    size = round(radius), ANGLES
    return np.asarray(cv2.warpPolar(mask, size, center, radius, POLAR), np.uint8)


def _outermost(rays: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(angles,): the place of the outermost 1 of each ray, counted from 1; 0 without any."""
    places = np.arange(1, rays.shape[1] + 1)
    return np.asarray((rays * places).max(axis=1), np.int64)


def _behind_the_last(rays: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(angles, radii): 1 beyond the outermost 1 of each ray that has any."""
    beyond = 1 - np.maximum.accumulate(rays[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(beyond & rays.max(axis=1, keepdims=True), np.uint8)
