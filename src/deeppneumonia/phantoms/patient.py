"""One phantom person: size, posture and proportions, drawn from a seed."""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.shapes import Field, Height


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What differs from person to person; lengths in mm, scales around 1."""

    width: float
    """Scale of the chest from side to side."""

    depth: float
    """Scale of the chest from front to back."""

    fat_mm: float
    """Fat under the skin of the front."""

    breath_mm: float
    """How far the diaphragm stands below (positive: deep breath) its usual height."""

    heart: float
    """Scale of the heart."""

    bone: float
    """Scale of the density of bone."""

    turn_deg: float
    """How far the patient is rolled on the table."""

    shift_mm: tuple[float, float]
    """Place in the field, (x, y)."""

    phases: tuple[float, ...]
    """Six angles that make the outlines of this person uneven."""

    gas: float
    """How full of gas the stomach is, 0 to 1."""

    lung_hu: float
    """Density of the aerated lung at mid height."""

    dependent_hu: float
    """How much denser the lowest-lying lung (the back) is than the front."""

    @classmethod
    def of_seed(cls, seed: int) -> "Patient":
        """The person that a seed stands for, whatever the diagnosis."""
        rng = np.random.default_rng([seed, 1])
        return cls(
            width=rng.uniform(0.90, 1.05),
            depth=rng.uniform(0.90, 1.08),
            fat_mm=rng.gamma(4.0, 2.2) + 3,
            breath_mm=rng.uniform(-16, 12),
            heart=rng.uniform(0.9, 1.12),
            bone=rng.uniform(0.75, 1.1),
            turn_deg=rng.normal(0, 2.5),
            shift_mm=(rng.normal(0, 4), rng.normal(0, 5)),
            phases=tuple(float(angle) for angle in rng.uniform(0, 2 * np.pi, 6)),
            gas=rng.uniform(0.1, 1.0),
            lung_hu=rng.uniform(-890, -840),
            dependent_hu=rng.uniform(30, 90),
        )

    def to_anatomy(self, x: Field, y: Field, z: Height) -> tuple[Field, Field]:
        """Where points of the scanner's field lie in the standard chest; z stays as it is."""
        angle = radians(self.turn_deg)
        x, y = x - self.shift_mm[0], y - self.shift_mm[1]
        p = self.phases
        # Each wave runs along one axis only, so it costs a row or a column and not a slice.
        x = x + 2.0 * np.sin(y / 23 + z / 41 + p[0]) + 1.2 * np.sin(y / 11 + z / 29 + p[1])
        y = y + 2.2 * np.sin(x / 31 + z / 47 + p[2]) + 1.2 * np.sin(x / 13 - z / 37 + p[3])
        turned_x = cos(angle) * x + sin(angle) * y
        turned_y = cos(angle) * y - sin(angle) * x
        return turned_x / self.width, turned_y / self.depth

    def to_scanner(self, point: tuple[float, float, float]) -> NDArray[np.float64]:
        """Where a point of the standard chest lies in the scanner's field; (3,), in mm."""
        place = np.array(point, np.float64)
        for _ in range(6):  # the waves are gentle, so each round divides the error by three or more
            x, y = self.to_anatomy(place[:1], place[1:2], float(point[2]))
            place[:2] += point[0] - x[0], point[1] - y[0]
        return place
