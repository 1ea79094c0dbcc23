"""The lungs: where they lie, how lobes divide them, and how dense aerated lung is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.chest import cavity_depth
from deeppneumonia.phantoms.organs import dome_height, mediastinum_depth
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import Field, Height, smooth_min

LOBES = ("RLL", "RML", "RUL", "LLL", "LUL")
"""Right lower, middle, upper; left lower, upper."""


def lung_depth(patient: Patient, x: Field, y: Field, z: Height) -> Field:
    """How far below the pleura a point of either lung lies; negative outside."""
    wall = smooth_min(cavity_depth(x, y, z) - 1.0, -mediastinum_depth(patient, x, y, z), 9)
    # The dome is steep at its sides: a height of 1 mm there is less than 1 mm away from it.
    return smooth_min(wall, (z - dome_height(patient, x, y)) * 0.6, 5)


def oblique_fissure(y: Field, z: Height) -> Field:
    """Distance above the major fissure, in mm; the lower lobe has negative values."""
    distance: Field = (z - 158 - 0.85 * y - 4 * np.sin(y / 25)) * 0.76
    return distance


def lobe_depth(lobe: str, x: Field, y: Field, z: Height) -> Field:
    """How far inside one lobe a point of the lungs lies, counted from fissures and midline only.

    Raises:
        ValueError: if `lobe` is not one of LOBES.
    """
    if lobe not in LOBES:
        raise ValueError(f"lobe must be one of {', '.join(LOBES)}, not {lobe!r}")
    side = -x if lobe.startswith("R") else x
    above = oblique_fissure(y, z)
    if lobe.endswith("LL"):
        return np.minimum(side, -above)
    depth = np.minimum(side, above)
    if lobe == "RUL":
        depth = np.minimum(depth, z - 152 - 0.05 * y)
    if lobe == "RML":
        depth = np.minimum(depth, 152 + 0.05 * y - z)
    return depth


def aerated_lung(patient: Patient, plane: Plane, depth: Field, texture: Field) -> Field:
    """Density of healthy lung in HU: denser towards the back, mottled, with faint fissures.

    Args:
        depth: (rows, columns), depth below the pleura, as `lung_depth` gives it.
        texture: (rows, columns), noise around 0 with a standard deviation of about 1.
    """
    y = plane.y
    hu: Field = patient.lung_hu + patient.dependent_hu * (y / 80).clip(-1, 1) + 14 * texture
    # Lung that lies lowest is compressed in a thin layer below the pleura, in healthy people too.
    layer = np.exp(-depth.clip(0) / 5) * (y / 60).clip(0, 1)
    fissure = np.exp(-((oblique_fissure(y, plane.z) / 1.1) ** 2))
    hu += 1.2 * patient.dependent_hu * layer + 110 * fissure
    return hu


@dataclass(frozen=True, slots=True)
class LungPoints:
    """Points inside the lungs, in the scanner's field and in the standard chest."""

    scanner: NDArray[np.float64]
    """(N, 3): x, y, z in mm of the scanner's field."""

    anatomy: NDArray[np.float64]
    """(N, 3): the same points in the standard chest."""

    depth: Field
    """(N,): depth below the pleura in mm."""

    def where(self, chosen: NDArray[np.bool_]) -> "LungPoints":
        """Some of the points."""
        return LungPoints(self.scanner[chosen], self.anatomy[chosen], self.depth[chosen])


def sample_lung_points(
    patient: Patient, rng: np.random.Generator, tries: int, margin_mm: float
) -> LungPoints:
    """Points spread evenly over both lungs, `margin_mm` or more below the pleura."""
    scanner = rng.uniform((-150, -110, 15), (150, 100, 285), (tries, 3))
    x, y = patient.to_anatomy(scanner[:, 0], scanner[:, 1], scanner[:, 2])
    depth = lung_depth(patient, x, y, scanner[:, 2])
    points = LungPoints(scanner, np.stack([x, y, scanner[:, 2]], axis=1), depth)
    return points.where(depth > margin_mm)
