"""From the aerated part of each lung to the whole lung, consolidation at the pleura included."""

from collections.abc import Sequence

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


def cover_lungs(
    aerated: Sequence[Mask], *, center: tuple[float, float], body_area: float
) -> list[Mask]:
    """The whole of each lung, from the part of it that holds air.

    Args:
        aerated: (rows, columns) each, the left lung, the right, or both.
        center: (x, y) of the chest, on whose far side of the lungs the ribs are.
        body_area: in pixels.
    """
    scale = body_area**0.5
    lungs = [
        fill_holes(close_disk(lung, BAY_RADIUS * scale), HOLE_AREA * body_area) for lung in aerated
    ]
    whole = []
    for lung, bays in zip(lungs, _costal_bays(lungs, center, scale), strict=True):
        costal = open_disk(bays, COSTAL_WIDTH * scale / 2)
        joined = close_disk(touching(lung | costal, lung), 1.5)
        whole.append(fill_holes(joined, HOLE_AREA * body_area / 4))
    return whole


def _costal_bays(
    lungs: Sequence[Mask], center: tuple[float, float], scale: float
) -> Sequence[Mask]:
    """Where each lung falls short of its hull on the side of the ribs, and beside the spine.

    That side of a lung is convex, so a bay there is consolidation; on the other side it is heart
    or liver. Seen from the middle of the chest, the bay lies behind the last of the lung.
    """
    hulls = [_bulging_hull(lung, CHEST_RADIUS * scale, behind_y=center[1]) for lung in lungs]
    return behind_the_last(lungs, hulls, center, scale, depth=COSTAL_DEPTH)


def behind_the_last(
    lungs: Sequence[Mask],
    hulls: Sequence[Mask],
    center: tuple[float, float],
    scale: float,
    *,
    depth: float,
    after: Mask | None = None,
) -> list[Mask]:
    """What of each hull lies behind the last of its lung, seen from the middle of the chest.

    Args:
        lungs: (rows, columns) each.
        hulls: (rows, columns) each, how far to the ribs the lung may reach.
        center: (x, y) of the chest.
        scale: the body's length scale, in pixels.
        depth: share of the scale; where more lies behind, nothing is taken.
        after: the part of the lungs behind which to look; behind all of each when None.
    """
    spine = SPINE_HALF_WIDTH * scale
    hulls = [hull.copy() for hull in hulls]
    for hull in hulls:
        hull[:, max(round(center[0] - spine), 0) : max(round(center[0] + spine), 0)] = 0
    shape, count = lungs[0].shape, len(lungs)
    radius = float(np.hypot(*shape))
    # As channels of one picture: finding where a ray passes costs more than reading there.
    seen = [*lungs, *hulls] if after is None else [*lungs, *hulls, after]
    rays = _warped(seen, (round(radius), ANGLES), center, radius, POLAR)
    behind = []
    for lung_rays, hull_rays in zip(rays[:count], rays[count : 2 * count], strict=True):
        bays = _behind_the_last(lung_rays) & hull_rays
        if after is not None:
            bays[_outermost(rays[-1]) < _outermost(lung_rays)] = 0
        depths = cv2.reduce(bays, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
        bays[depths > depth * scale] = 0
        behind.append(bays)
    back = _warped(behind, shape[::-1], center, radius, POLAR | cv2.WARP_INVERSE_MAP)
    return [hull & bays for hull, bays in zip(hulls, back, strict=True)]


def _warped(
    masks: Sequence[Mask],
    size: tuple[int, ...],
    center: tuple[float, float],
    radius: float,
    how: int,
) -> Sequence[Mask]:
    warped = cv2.split(cv2.warpPolar(cv2.merge(masks), size, center, radius, how))
    return [np.asarray(mask, np.uint8) for mask in warped]


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


def _outermost(rays: Mask) -> NDArray[np.int64]:
    """(angles,): the place of the outermost 1 of each ray, counted from 1; 0 without any."""
    backwards = np.ascontiguousarray(rays[:, ::-1]).view(np.bool_)
    beyond = backwards.argmax(axis=1)
    return np.where(backwards[np.arange(len(rays)), beyond], rays.shape[1] - beyond, 0)


def _behind_the_last(rays: Mask) -> Mask:
    """(angles, radii): 1 beyond the outermost 1 of each ray that has any."""
    last = _outermost(rays)[:, None]
    return np.asarray((np.arange(rays.shape[1]) >= last) & (last > 0), np.uint8)
