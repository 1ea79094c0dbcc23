"""Branching trees of vessels and airways that fill a lung, and how a slice shows them.

A tree divides the points it has to supply, again and again, across their longest direction; the
radius of a branch follows Murray's law from the number of points behind it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.lungs import LungPoints
from deeppneumonia.phantoms.organs import HILA
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.shapes import Field

LEAVES = 1200
"""End points of one arterial tree; a venous tree has the same."""

OPEN_BRONCHI = 36
"""Ends of the bronchi that a consolidation shows as air bronchograms."""

LEAF_RADIUS_MM = 0.34
SMALLEST_BRONCHUS_MM, SMALLEST_WALL_MM = 0.55, 1.3  # by the radius of the artery beside
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LungTrees:
    """Everything tubular in both lungs."""

    vessels: Tubes
    """Arteries and veins."""

    walls: Tubes
    """Bronchi, to the outside of their wall."""

    lumens: Tubes
    """Bronchi, the air in them."""

    @classmethod
    def grow(cls, patient: Patient, points: LungPoints, rng: np.random.Generator) -> "LungTrees":
        """Trees that supply both lungs from their hila; bronchi run beside the arteries."""
        arteries: list[Tubes] = []
        veins: list[Tubes] = []
        for side, hilum in zip((-1, 1), HILA, strict=True):
            mine = points.scanner[points.anatomy[:, 0] * side > 0]
            root = patient.to_scanner(hilum)
            for trees in (arteries, veins):
                leaves = mine[rng.permutation(len(mine))[:LEAVES]]
                trees.append(grow_tree(root + rng.normal(0, 3, 3), leaves, rng))
        artery = _joined(arteries)
        bronchi = artery.where(artery.radius > SMALLEST_BRONCHUS_MM)
        lumens = bronchi.beside(0.5 + 0.7 * bronchi.radius, rng)
        thick = lumens.where(bronchi.radius > SMALLEST_WALL_MM)
        walls = Tubes(thick.start, thick.end, thick.radius * 1.12 + 0.4)
        return cls(vessels=_joined([*arteries, *veins]), walls=walls, lumens=lumens)

    def with_air_bronchograms(
        self, patient: Patient, points: LungPoints, rng: np.random.Generator
    ) -> "LungTrees":
        """The same trees, with bronchi to some of `points`, all on one side, that stay open."""
        hilum = HILA[int(points.anatomy[:, 0].mean() > 0)]
        ends = points.scanner[rng.permutation(len(points.scanner))[:OPEN_BRONCHI]]
        open_tree = grow_tree(patient.to_scanner(hilum), ends, rng)
        wide = Tubes(open_tree.start, open_tree.end, 0.5 + 1.7 * open_tree.radius)
        return replace(self, lumens=_joined([self.lumens, wide]))


def _joined(trees: list[Tubes]) -> Tubes:
    return Tubes(
        np.concatenate([tree.start for tree in trees]),
        np.concatenate([tree.end for tree in trees]),
        np.concatenate([tree.radius for tree in trees]),
    )


def _divide(points: NDArray[np.float64], rng: np.random.Generator) -> list[NDArray[np.float64]]:
    spread = points - points.mean(axis=0)
    # The longest of three slightly tilted axes stands in for the principal axis, at less cost.
    turned = spread @ (np.eye(3) + rng.normal(0, 0.25, (3, 3)))
    order = np.argsort(turned[:, np.argmax((turned * turned).sum(axis=0))])
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
