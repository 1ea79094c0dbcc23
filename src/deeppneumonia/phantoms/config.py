"""What phantom to make, and the phantom that comes back: a chest CT whose truth is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Diagnosis, Volume

FIELD_MM = (300.0, 360.0, 360.0)
"""What every phantom covers along (slice, row, column): upper abdomen to lower neck."""

DEFAULT_SHAPE = (60, 512, 512)
"""(slices, rows, columns): voxels of 5 x 0.7 x 0.7 mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomConfig:
    """One phantom patient; the same config gives the same volume, voxel by voxel."""

    label: Diagnosis
    """What the patient has; only `covid` and `bacterial` have lesions."""

    seed: int
    """The patient: anatomy, severity, position, noise. 0 or more."""

    shape: tuple[int, int, int] = DEFAULT_SHAPE
    """(slices, rows, columns). The field stays the same, so fewer voxels are larger voxels."""

    source_confound: bool = False
    """True gives each label a scanner of its own (kernel, noise, grey offset), as a data set has
    whose sick and healthy patients came from different hospitals."""

    contrast_hu: float = 0.0
    """What contrast medium adds to blood, in HU; 0 is an unenhanced scan, 150 to 300 are usual."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", Diagnosis(self.label))
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, not {self.seed}")
        if not 0 <= self.contrast_hu <= 1000:
            raise ValueError(f"contrast_hu must be 0 to 1000, not {self.contrast_hu}")
        if len(self.shape) != 3 or min(self.shape) < 4 or min(self.shape[1:]) < 64:
            raise ValueError(
                f"a phantom needs at least 4 slices of 64 x 64 pixels, not {self.shape}"
            )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along (slice, row, column), in mm."""
        slices, rows, columns = self.shape
        return FIELD_MM[0] / slices, FIELD_MM[1] / rows, FIELD_MM[2] / columns

    @property
    def thickness_mm(self) -> float:
        """Thickness of a slice: contiguous up to 5 mm, with gaps where slices lie wider apart."""
        return min(self.spacing_mm[0], 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A synthetic chest CT with its lungs and lesions marked."""

    volume: Volume
    """The CT in HU, int16, ordered from feet to head."""

    lung_mask: NDArray[np.bool_]
    """(slices, rows, columns): both lungs, lesions, vessels and small airways included."""

    lesion_mask: NDArray[np.bool_]
    """(slices, rows, columns): voxels of the lungs that pneumonia fills at least by half."""

    config: PhantomConfig
    """What was asked for."""

    @property
    def label(self) -> Diagnosis:
        """What the patient has."""
        return self.config.label

    @property
    def seed(self) -> int:
        """Which patient it is."""
        return self.config.seed
