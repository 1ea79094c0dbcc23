"""COVID-like pneumonia: fuzzy ground glass on both sides, below the pleura, mostly low and behind.

Pattern after the Fleischner and RSNA consensus statements of 2020: bilateral, peripheral, patchy
ground-glass opacity, with or without fine reticulation (crazy paving) and partial consolidation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.chest import cavity_depth
from deeppneumonia.phantoms.lungs import LungPoints
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import Field, Point, paint, point_of

FUZZ = 0.45


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of ground glass, an ellipsoid that lies flat against the pleura."""

    center: Point
    """In mm of the standard chest."""

    normal: Point
    """Unit vector from the pleura into the lung."""

    deep_mm: float
    """Half thickness along the normal."""

    wide_mm: float
    """Half width along the pleura."""

    hu: float
    """Density of the ground glass."""

    def level(self, x: Field, y: Field, z: float) -> Field:
        """0 at the centre, 1 on the surface of the ellipsoid."""
        dx, dy, dz = x - self.center[0], y - self.center[1], z - self.center[2]
        deep = dx * self.normal[0] + dy * self.normal[1] + dz * self.normal[2]
        total = dx * dx + dy * dy + dz * dz
        flat = np.maximum(total - deep * deep, 0) / self.wide_mm**2
        level: Field = np.sqrt(flat + (deep / self.deep_mm) ** 2)
        return level


@dataclass(frozen=True, slots=True)
class CovidPneumonia:
    """All patches of one patient."""

    patches: tuple[Patch, ...]
    """Some on each side."""

    paving: float
    """How strongly fine lines stand out in the ground glass, 0 to 1."""

    consolidation: float
    """How readily ground glass turns solid, 0 to 1."""

    @classmethod
    def plan(cls, points: LungPoints, rng: np.random.Generator) -> "CovidPneumonia":
        """Choose patches among candidate points of both lungs."""
        severity = rng.uniform(0, 1)
        number = round(10 + 16 * severity)
        patches = []
        for side, count in ((-1, number // 2), (1, number - number // 2)):
            mine = points.where(points.anatomy[:, 0] * side > 0)
            centers = _centers(mine, count, rng)
            patches += [_patch(center, severity, rng) for center in centers]
        return cls(tuple(patches), rng.uniform(0, 1), rng.uniform(0, 0.8) * severity)

    def paint(self, hu: Field, plane: Plane, ragged: Field, fine: Field) -> Field:
        """Paint the pneumonia of one slice into lung tissue.

        Args:
            hu: (rows, columns) of lung, changed in place.
            ragged: noise around 0 in patches of about 15 mm; it frays the edges.
            fine: noise around 0 in patches of about 5 mm; its zero lines are the paving.

        Returns:
            (rows, columns): how much of the lung is diseased, 0 to 1.
        """
        amount, density = np.zeros_like(hu), np.full_like(hu, -600.0)
        for patch in self.patches:
            if abs(plane.z - patch.center[2]) > 1.6 * patch.wide_mm:
                continue
            level = patch.level(plane.x, plane.y, plane.z) + 0.26 * ragged + 0.16 * fine
            share = ((1 - level) / FUZZ + 0.5).clip(0, 1)
            density = np.where(share > amount, patch.hu, density)
            amount = np.maximum(amount, share)
        density += 90 * self.paving * np.exp(-((fine / 0.3) ** 2)) + 40 * ragged + 25 * fine
        solid = ((ragged + 0.5 * fine - 1.6 + 2.2 * self.consolidation) / 0.6).clip(0, 1)
        density += solid * self.consolidation * (-60 - density)
        paint(hu, amount, density)
        return amount


def _centers(points: LungPoints, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 3): points chosen with the weights of where this disease sits.

    The choice is systematic along z: the weights alone would let a mild case gather in one place.
    """
    anatomy = points.anatomy[np.argsort(points.anatomy[:, 2])]
    x, y, z = anatomy.T
    weight = np.exp(-cavity_depth(x, y, z) / 7 - (z - 60) / 70 + y / 55)
    share = np.cumsum(weight) / weight.sum()
    wanted = (np.arange(count) + rng.uniform(0, 1, count)) / count
    chosen: NDArray[np.float64] = anatomy[np.searchsorted(share, wanted).clip(max=len(share) - 1)]
    return chosen


def _patch(center: NDArray[np.float64], severity: float, rng: np.random.Generator) -> Patch:
    """A patch of random size and density that lies along the pleura nearest to `center` (3,)."""
    steps = center + np.concatenate([np.zeros((1, 3)), 2 * np.eye(3)])
    depths = cavity_depth(steps[:, 0], steps[:, 1], steps[:, 2])
    normal = depths[1:] - depths[0]
    size = rng.uniform(0.55, 1.35) * (0.8 + 0.6 * severity)
    return Patch(
        center=point_of(center),
        normal=point_of(normal / (np.linalg.norm(normal) + 1e-9)),
        deep_mm=11 * size,
        wide_mm=21 * size,
        hu=rng.uniform(-680, -480) + 60 * severity,
    )
