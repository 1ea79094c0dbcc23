"""Branching trees of vessels and airways that fill a lung, and how a slice shows them.

A tree divides the points it has to supply, again and again, across their longest direction; the
radius of a branch follows Murray's law from the number of points behind it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.shapes import Field

LEAF_RADIUS_MM = 0.5
MURRAY = 2.6  # radius^MURRAY is shared among branches; 2.3 to 3 is measured in lungs
CANVAS_PIXEL_MM = 0.36
PIECE_MM = 4.0
DEEPEST_POINT = 3  # fractional bits of OpenCV coordinates


@dataclass(frozen=True, slots=True)
class Tubes:
    """Straight tubes in the scanner's field, in mm."""

    start: NDArray[np.float64]
    """(N, 3): x, y, z."""

    end: NDArray[np.float64]
    """(N, 3): x, y, z."""

    radius: NDArray[np.float64]
    """(N,)."""

    def where(self, chosen: NDArray[np.bool_]) -> "Tubes":
        """Some of the tubes."""
        return Tubes(self.start[chosen], self.end[chosen], self.radius[chosen])

    def beside(self, other_radius: NDArray[np.float64], rng: np.random.Generator) -> "Tubes":
        """Tubes of other radii that run along these, wall to wall."""
        direction = self.end - self.start
        direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
        aside = np.cross(direction, rng.normal(size=3))
        aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-9
        offset = aside * (self.radius + other_radius + 0.4)[:, None]
        return Tubes(self.start + offset, self.end + offset, other_radius)


def grow_tree(
    root: NDArray[np.float64], points: NDArray[np.float64], rng: np.random.Generator
) -> Tubes:
    """A tree from `root` (3,) to every one of `points` (N, 3), as slightly bent tubes."""
    starts, ends, supplied = [], [], []
    open_branches = [(root, points)]
    while open_branches:
        start, behind = open_branches.pop()
        if len(behind) == 1:
            starts.append(start)
            ends.append(behind[0])
            supplied.append(1)
            continue
        share = rng.uniform(0.28, 0.5)
        fork = start + share * (behind.mean(axis=0) - start)
        starts.append(start)
        ends.append(fork)
        supplied.append(len(behind))
        open_branches += [(fork, part) for part in _divide(behind, rng)]
    radius = LEAF_RADIUS_MM * np.array(supplied, np.float64) ** (1 / MURRAY)
    return _bend(Tubes(np.array(starts), np.array(ends), radius), rng)


def _divide(points: NDArray[np.float64], rng: np.random.Generator) -> list[NDArray[np.float64]]:
    spread = points - points.mean(axis=0)
    direction = np.linalg.eigh(spread.T @ spread)[1][:, -1] + rng.normal(0, 0.25, 3)
    order = np.argsort(spread @ direction)
    cut = int(np.clip(round(len(points) * rng.uniform(0.3, 0.7)), 1, len(points) - 1))
    return [points[order[:cut]], points[order[cut:]]]


def _bend(tubes: Tubes, rng: np.random.Generator) -> Tubes:
    """Cut every tube into short pieces along a gentle arc."""
    axis = tubes.end - tubes.start
    length = np.linalg.norm(axis, axis=1)
    sag = rng.normal(0, 0.07, axis.shape) * length[:, None]
    pieces = np.maximum(1, np.ceil(length / PIECE_MM)).astype(int)
    owner = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)

    def on_arc(share: NDArray[np.float64]) -> NDArray[np.float64]:
        s = share[:, None]
        straight = tubes.start[owner] + s * axis[owner]
        place: NDArray[np.float64] = straight + 4 * s * (1 - s) * sag[owner]
        return place

    first, last = on_arc(number / pieces[owner]), on_arc((number + 1) / pieces[owner])
    return Tubes(first, last, tubes.radius[owner])


def draw_tubes(
    tubes: Tubes, z: float, thickness_mm: float, shape: tuple[int, int], field_mm: float
) -> Field:
    """How much of each voxel of one slice the tubes fill, 0 to 1, partial volume included.

    Args:
        z: height of the middle of the slice.
        shape: (rows, columns) of the result.
        field_mm: side of the square field that the slice covers, round (0, 0).
    """
    middle = (tubes.start[:, 2] + tubes.end[:, 2]) / 2
    reach = np.abs(tubes.end[:, 2] - tubes.start[:, 2]) / 2 + tubes.radius
    low = np.maximum(middle - reach, z - thickness_mm / 2)
    high = np.minimum(middle + reach, z + thickness_mm / 2)
    filled = (high - low) / thickness_mm
    seen = np.flatnonzero(filled > 0.04)
    size = round(field_mm / CANVAS_PIXEL_MM)
    canvas = np.zeros((size, size), np.uint8)
    ends = np.stack([tubes.start[seen, :2], tubes.end[seen, :2]], axis=1) / CANVAS_PIXEL_MM
    ends = np.round((ends + size / 2 - 0.5) * 2**DEEPEST_POINT).astype(int)
    width = np.maximum(1, np.round(2 * tubes.radius[seen] / CANVAS_PIXEL_MM)).astype(int)
    grey = np.round(255 * filled[seen]).astype(int)
    for index in np.argsort(grey):  # the fullest last: a voxel keeps its highest value
        a, b = ends[index]
        cv2.line(canvas, a.tolist(), b.tolist(), int(grey[index]), int(width[index]), cv2.LINE_AA,
                 DEEPEST_POINT)  # fmt: skip
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255
