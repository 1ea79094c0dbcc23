"""The way from any array axes to standard display: what a radiologist sees, and a network must.

Slices run from feet to head, rows from front to back, columns from the patient's right to the
left. Only whole axes are exchanged and turned round; no value is interpolated, so that oblique
slices stay oblique, and a flag says so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.volume import QualityFlag
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.geometry import (
    MAX_OBLIQUE_DEG,
    MAX_TILT_DEG,
    GantryTiltError,
    NotAxialError,
)

SINGULAR = (
    "The affine of this volume is singular, so its place in the patient is unknown: "
    "convert the study again from DICOM."
)


@dataclass(frozen=True, slots=True)
class Reorientation:
    """Which axis of an array becomes which axis of the standard display, and which way round."""

    axes: tuple[int, int, int]
    """Source axis of the slices, the rows and the columns of the display."""

    flips: tuple[bool, bool, bool]
    """Whether slices, rows and columns run the other way in the source."""

    affine: NDArray[np.float64]
    """(4, 4): display index (slice, row, column, 1) to LPS mm."""

    @property
    def slices_stay_slices(self) -> bool:
        """Whether each slice of the display is one slice of the source."""
        return self.axes[0] == 0

    @property
    def flags(self) -> tuple[QualityFlag, ...]:
        """`oblique`, which blocks, where the display is turned against the patient's axes."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        angle = _turned_by_deg(self.affine[:3, :3] / lengths, (0, 1, 2))
        if angle <= MAX_OBLIQUE_DEG:
            return ()
        return (
            QualityFlag(
                "oblique",
                f"The slices are oblique: they are turned {angle:.0f} degrees away from the "
                f"patient's axes, where at most {MAX_OBLIQUE_DEG:.0f} are expected. "
                "Give the axial series of this study.",
                blocks=True,
            ),
        )

    def apply(self, volume: NDArray[Any]) -> NDArray[Any]:
        """A source array as (slices, rows, columns) of the display."""
        turned = volume.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def apply_to_slice(self, picture: NDArray[Any]) -> NDArray[Any]:
        """One source slice as (rows, columns) of the display; only where slices stay slices."""
        turned = picture if self.axes[1] == 1 else picture.T
        return turned[:: -1 if self.flips[1] else 1, :: -1 if self.flips[2] else 1]


def to_display(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Reorientation:
    """How an array of (any three axes) with this affine to LPS is brought into standard display.

    Raises:
        StudyError: a singular affine, GantryTiltError for sheared axes, or NotAxialError where
            two axes lie nearest to one axis of the patient.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-6:
        raise StudyError(SINGULAR)
    directions = affine[:3, :3] / lengths
    axes = tuple(int(np.abs(directions[world]).argmax()) for world in (2, 1, 0))
    flips = tuple(
        bool(directions[world, axis] < 0) for world, axis in zip((2, 1, 0), axes, strict=True)
    )
    _check_directions(directions, axes)
    to_source = np.zeros((4, 4))
    to_source[3, 3] = 1
    for target, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        to_source[axis, target] = -1 if flip else 1
        to_source[axis, 3] = shape[axis] - 1 if flip else 0
    slices, rows, columns = axes
    up, down, along = flips
    return Reorientation((slices, rows, columns), (up, down, along), affine @ to_source)


def _check_directions(directions: NDArray[np.float64], axes: tuple[int, ...]) -> None:
    """Refuse (3, 3) unit columns that are sheared, or that are no axes of the patient."""
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    shear = float(np.degrees(np.arcsin(min(1.0, cosines))))
    if abs(np.linalg.det(directions)) < 0.01:
        raise StudyError(SINGULAR)
    if shear > MAX_TILT_DEG:
        raise GantryTiltError(tilt_deg=shear)
    if len(set(axes)) < 3:
        raise NotAxialError(angle_deg=_turned_by_deg(directions, axes))


def _turned_by_deg(directions: NDArray[np.float64], axes: tuple[int, ...]) -> float:
    """Largest angle between the (3, 3) unit columns `axes` and the axes z, y, x of the patient."""
    worst = min(abs(directions[world, axis]) for world, axis in zip((2, 1, 0), axes, strict=True))
    return float(np.degrees(np.arccos(min(1.0, worst))))
