"""Simple bodies as depth fields: how many mm a point lies inside (negative: outside).

Every function takes coordinates in mm that broadcast against each other, so the same anatomy
answers for a whole slice or for a list of points. Union is a maximum, intersection a minimum;
the smooth ones round the seam as tissue does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""Values at points: mm for depths, HU for densities, 0 to 1 for coverages."""

Height = float | Field
"""z in mm, 0 at the lowest slice: one number for a slice, an array for a list of points."""

Point = tuple[float, float, float]
"""(x, y, z) in mm: to the patient's left, to the back, to the head."""


def point_of(values: Field) -> Point:
    """Three numbers of an array as a point."""
    x, y, z = values.tolist()
    return x, y, z


def along(z: Height, table: Sequence[tuple[float, float]]) -> Any:
    """A value that changes with height, from a table of (z, value); constant beyond its ends."""
    heights, values = zip(*table, strict=True)
    value = np.interp(z, heights, values)
    # A numpy scalar of 64 bits would turn every float32 slice into float64.
    return float(value) if np.ndim(z) == 0 else value


def ellipse(x: Field, y: Field, half_x: Any, half_y: Any, squareness: float = 0.0) -> Field:
    """Depth inside an ellipse round the origin; squareness 0.4 makes it a rounded box."""
    u2, v2 = (x / half_x) ** 2, (y / half_y) ** 2
    corner = squareness * np.minimum(u2, 1) * np.minimum(v2, 1)
    # The small terms give the very centre, where the ray has no length, a finite depth.
    level = np.sqrt(u2 + v2 - corner + 1e-6)
    ray = np.sqrt(x * x + y * y + 1e-6 * half_x * half_y)
    depth: Field = ray * (1 / level - 1)
    return depth


def ellipsoid(x: Field, y: Field, z: Height, center: Point, half: Point) -> Field:
    """Depth inside an axis-aligned ellipsoid, exact on its surface and near enough elsewhere."""
    u = ((x - center[0]) / half[0]) ** 2 + ((y - center[1]) / half[1]) ** 2
    level = np.sqrt(u + ((z - center[2]) / half[2]) ** 2)
    return (1 - level) * min(half)


def tube(x: Field, y: Field, z: Height, start: Point, end: Point, radius: float) -> Field:
    """Depth inside a straight tube with round ends."""
    axis = [e - s for s, e in zip(start, end, strict=True)]
    px, py, pz = x - start[0], y - start[1], z - start[2]
    length2 = sum(a * a for a in axis) + 1e-9
    share = ((px * axis[0] + py * axis[1] + pz * axis[2]) / length2).clip(0, 1)
    dx, dy, dz = px - share * axis[0], py - share * axis[1], pz - share * axis[2]
    depth: Field = radius - np.sqrt(dx * dx + dy * dy + dz * dz)
    return depth


def smooth_max(a: Field, b: Field, seam_mm: float) -> Field:
    """Union of two bodies whose seam is filled over about `seam_mm`."""
    overlap = np.maximum(seam_mm - np.abs(a - b), 0) / seam_mm
    return np.maximum(a, b) + overlap * overlap * (seam_mm / 4)


def smooth_min(a: Field, b: Field, seam_mm: float) -> Field:
    """Intersection of two bodies whose edge is rounded over about `seam_mm`."""
    return -smooth_max(-a, -b, seam_mm)


def coverage(depth: Field, soft_mm: float) -> Field:
    """How much of a voxel a body fills, 0 to 1, with an edge `soft_mm` wide."""
    return (depth / soft_mm + 0.5).clip(0, 1)


def paint(hu: Field, amount: Field, value: Any) -> None:
    """Blend `value` (HU) into `hu`, in place, as far as `amount` (0 to 1) says."""
    hu += amount * (value - hu)
