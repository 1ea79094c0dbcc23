"""Bacterial-like pneumonia: one dense lobar consolidation with air bronchograms, maybe fluid."""

from dataclasses import dataclass

import numpy as np

from deeppneumonia.phantoms.chest import cavity_depth
from deeppneumonia.phantoms.lungs import LOBES, LungPoints, lobe_depth
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import Field, Point, coverage, paint, point_of

FLUID_HU = 8.0


@dataclass(frozen=True, slots=True)
class LobarPneumonia:
    """Consolidation of a part or the whole of one lobe."""

    lobe: str
    """One of LOBES."""

    center: Point
    """Where it began, in mm of the standard chest."""

    radius_mm: float
    """How far it has spread within the lobe."""

    hu: float
    """Density of the consolidated core."""

    fluid_mm: float
    """Depth of the fluid behind the lung of that side; 0 for none."""

    @classmethod
    def plan(cls, points: LungPoints, rng: np.random.Generator) -> "LobarPneumonia":
        """Choose a lobe, a place and an extent among candidate points of both lungs."""
        lobe = LOBES[rng.choice(len(LOBES), p=(0.32, 0.12, 0.18, 0.24, 0.14))]
        x, y, z = points.anatomy.T
        inside = points.where(lobe_depth(lobe, x, y, z) > 6)
        x, y, z = inside.anatomy.T
        weight = np.exp(-cavity_depth(x, y, z) / 14)
        return cls(
            lobe=lobe,
            center=point_of(inside.anatomy[rng.choice(len(weight), p=weight / weight.sum())]),
            radius_mm=rng.uniform(60, 96),
            hu=rng.uniform(10, 45),
            fluid_mm=rng.uniform(6, 20) if rng.random() < 0.4 else 0.0,
        )

    def points_within(self, points: LungPoints) -> LungPoints:
        """Those points of the lungs that the consolidation fills; never none."""
        x, y, z = points.anatomy.T
        distance = np.linalg.norm(points.anatomy - np.array(self.center), axis=1)
        in_lobe = lobe_depth(self.lobe, x, y, z) > 0
        return points.where(in_lobe & (distance < 0.8 * self.radius_mm))

    def without_fluid(self, depth: Field, plane: Plane) -> Field:
        """The depth below the pleura again, where fluid behind the lung has pushed it forward."""
        if not self.fluid_mm:
            return depth
        side = -plane.x if self.lobe.startswith("R") else plane.x
        height = min(max((190 - plane.z) / 90, 0), 1)
        layer = self.fluid_mm * ((plane.y - 5) / 50).clip(0, 1) * height
        pushed: Field = np.minimum(depth, plane.cavity - 1 - layer)
        return np.where(side > 0, pushed, depth)

    def paint(self, hu: Field, plane: Plane, ragged: Field, fine: Field) -> Field:
        """Paint the pneumonia of one slice into lung tissue; arguments and result as in `covid`."""
        x, y, z = plane.x, plane.y, plane.z
        dx, dy, dz = x - self.center[0], y - self.center[1], z - self.center[2]
        spread = self.radius_mm - np.sqrt(dx * dx + dy * dy + dz * dz)
        spread = spread + 7 * ragged + 2.5 * fine
        lobe = coverage(lobe_depth(self.lobe, x, y, z), 1.4)
        halo = (0.5 + spread / 26).clip(0, 1) * lobe
        paint(hu, 0.75 * halo, -560.0 + 30 * fine)
        amount: Field = (0.5 + (spread - 4) / 10).clip(0, 1) * lobe
        paint(hu, amount, self.hu + 8 * ragged)
        return amount
