"""Where slices lie in the patient: their order, spacing, gaps and tilt.

Everything follows from Image Orientation (Patient) and Image Position (Patient), DICOM PS3.3
C.7.6.2.1.1. Coordinates are LPS millimetres: x to the patient's left, y to the back, z to the
head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.errors import StudyError

MAX_TILT_DEG = 1.0
"""Shear that is left alone: at 1 degree a chest of 300 mm is shifted by 5 mm from end to end."""

MAX_OBLIQUE_DEG = 5.0
"""Rotation against the patient's axes that is still shown as an axial slice."""

SAME_PLACE_MM = 0.02
"""Slices closer than this lie in one place: no scanner reconstructs at such a distance."""

ROUNDING_MM = 0.11
"""Largest error of a distance between positions that were written with one decimal."""

MAX_SHIFT_MM = 1.0
"""Sideways deviation of a slice from the line through its stack."""

Vector = NDArray[np.float64]
VERTICAL = np.array([0.0, 0.0, 1.0])


class MissingSlicesError(StudyError):
    """Neighbouring slices of a series lie further apart than its own spacing."""

    def __init__(self, *, after_slice: int, gap_mm: float, spacing_mm: float, gaps: int) -> None:
        self.after_slice = after_slice
        self.gap_mm = gap_mm
        count = "a gap" if gaps == 1 else f"{gaps} gaps, the first"
        super().__init__(
            f"There is {count} of {gap_mm:.1f} mm after slice {after_slice} (the lowest is "
            f"0), where this series has a slice every {spacing_mm:.1f} mm: slices are missing. "
            "Export the whole series again."
        )


class VariableSpacingError(StudyError):
    """The distance between slices changes along a series."""

    def __init__(self, *, smallest_mm: float, largest_mm: float) -> None:
        super().__init__(
            f"The distance between slices varies from {smallest_mm:.2f} to {largest_mm:.2f} mm, "
            "where one equal distance is expected: export a series of evenly spaced slices."
        )


class GantryTiltError(StudyError):
    """The slices are not at right angles to the line on which they are stacked."""

    def __init__(self, *, tilt_deg: float) -> None:
        self.tilt_deg = tilt_deg
        super().__init__(
            f"The gantry was tilted: slices are stacked {tilt_deg:.1f} degrees off their normal, "
            f"where at most {MAX_TILT_DEG:.0f} degree is expected. "
            "Reconstruct the series without tilt."
        )


class NotAxialError(StudyError):
    """The slices are no axial slices, and cannot be arranged as such."""

    def __init__(self, *, angle_deg: float) -> None:
        super().__init__(
            f"The slices are not axial: they are turned {angle_deg:.0f} degrees away from axial, "
            f"where at most {MAX_OBLIQUE_DEG:.0f} are expected. "
            "Give the axial series of this study."
        )


class OrientationError(StudyError):
    """Direction cosines that describe no plane."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The order of slices, and the affine of the array that this order makes."""

    order: tuple[int, ...]
    """Indices into the given positions, along the normal: from feet to head for axial slices."""

    affine: NDArray[np.float64]
    """(4, 4): index (slice, source row, source column, 1) to LPS mm."""


def normal_of(orientation: Sequence[float]) -> Vector:
    """Unit normal of a plane from its six direction cosines.

    It points to the head for axial slices, to the left for sagittal, to the back for coronal ones.

    Raises:
        OrientationError: if the cosines are not two unit vectors at right angles.
    """
    row, column = np.asarray(orientation, float).reshape(2, 3)
    if not (
        np.isfinite(orientation).all()
        and abs(np.linalg.norm(row) - 1) < 0.01
        and abs(np.linalg.norm(column) - 1) < 0.01
        and abs(row @ column) < 0.01
    ):
        raise OrientationError(
            "Image Orientation (Patient) (0020,0037) is not a pair of unit vectors at right "
            "angles, so the slices cannot be placed in the patient: export the series again."
        )
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return -normal if normal[main_axis(normal)] < 0 else normal


def main_axis(normal: Vector) -> int:
    """The axis of the patient that a normal is nearest to: 0 sagittal, 1 coronal, 2 axial."""
    return int(np.abs(normal).argmax())


def angle_deg(first: Vector, second: Vector) -> float:
    """Angle between two lines, 0 to 90 degrees."""
    sine = float(np.linalg.norm(np.cross(first, second)))
    return float(np.degrees(np.arctan2(sine, abs(float(first @ second)))))


def stack_slices(
    positions: Sequence[Sequence[float]],
    orientation: Sequence[float],
    pixel_spacing_mm: tuple[float, float],
    thickness_mm: float = 1.0,
) -> Stack:
    """Order parallel slices along their normal and find out where they lie.

    Args:
        positions: Image Position (Patient) of each slice, all in different places.
        orientation: their common Image Orientation (Patient).
        pixel_spacing_mm: distance between rows, then between columns (the order of DICOM).
        thickness_mm: stands for the spacing of a single slice, and of nothing else.

    Raises:
        StudyError: GantryTiltError, MissingSlicesError, VariableSpacingError, or positions that
            are not finite or not on a line.
    """
    places = np.asarray(positions, float)
    if not np.isfinite(places).all() or min(*pixel_spacing_mm, thickness_mm) <= 0:
        raise StudyError(
            "Image Position (Patient) or Pixel Spacing holds a value that is no length: "
            "export the series again."
        )
    normal = normal_of(orientation)
    distances = places @ normal
    order = np.argsort(distances, kind="stable")
    step = normal * thickness_mm
    if len(places) > 1:
        check_line(places[order], normal)
        check_spacing(distances[order])
        step = (places[order[-1]] - places[order[0]]) / (len(places) - 1)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = np.asarray(orientation[3:], float) * pixel_spacing_mm[0]
    affine[:3, 2] = np.asarray(orientation[:3], float) * pixel_spacing_mm[1]
    affine[:3, 3] = places[order[0]]
    return Stack(order=tuple(int(i) for i in order), affine=affine)


def check_line(places: NDArray[np.float64], normal: Vector) -> None:
    """Refuse a stack of (slices, 3) sorted positions that leans (tilt) or is bent (shifts)."""
    whole = places[-1] - places[0]
    tilt = angle_deg(whole, normal)
    if tilt > MAX_TILT_DEG:
        raise GantryTiltError(tilt_deg=tilt)
    shares = (places - places[0]) @ normal / (whole @ normal)
    shifts = np.linalg.norm(places - places[0] - shares[:, None] * whole, axis=1)
    if shifts.max() > MAX_SHIFT_MM:
        raise StudyError(
            f"Slice {int(shifts.argmax())} (the lowest is 0) lies {shifts.max():.1f} mm "
            f"beside the line of the others, where {MAX_SHIFT_MM:.0f} mm is allowed: "
            "export the series with one common centre."
        )


def check_spacing(distances: NDArray[np.float64]) -> None:
    """Refuse sorted distances in mm, two or more, that are not evenly spaced."""
    steps = np.diff(distances)
    spacing = float(np.sort(steps)[(len(steps) - 1) // 2])
    uneven = np.abs(steps - spacing) > max(0.1 * spacing, ROUNDING_MM)
    if not uneven.any():
        return
    if (steps[uneven] > 1.5 * spacing).all() and uneven.sum() <= len(steps) / 2:
        first = int(np.flatnonzero(uneven)[0])
        raise MissingSlicesError(
            after_slice=first,
            gap_mm=float(steps[first]),
            spacing_mm=spacing,
            gaps=int(uneven.sum()),
        )
    raise VariableSpacingError(smallest_mm=float(steps.min()), largest_mm=float(steps.max()))
