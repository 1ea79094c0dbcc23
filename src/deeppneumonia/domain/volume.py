"""A stack of CT slices that never travels without its unit and its place in the patient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.study import Series, Study

WIDEST_CHEST_MM = 420.0
"""A chest is reconstructed in 300 to 420 mm; what is wider was made for more than a chest."""


class Unit(StrEnum):
    """What a pixel value means."""

    HU = "HU"
    """Hounsfield units: water 0, air -1000."""

    GREY = "GREY"
    """Grey levels 0 to 255 of a picture; how they map to HU is not known."""


@dataclass(frozen=True, slots=True)
class QualityFlag:
    """One thing about a study that a reader of the result has to know."""

    code: str
    """Stable machine word, such as `gap` or `no_geometry`."""

    message: str
    """One sentence for a person."""

    blocks: bool = False
    """True when no probability may be shown because of it."""

    leaves_open: bool = False
    """True when the answer is indeterminate because of it; probabilities are shown."""


class PixelSource(Protocol):
    """Slices that are decoded when they are asked for, and not before."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        ...

    def read(self, index: int) -> NDArray[Any]:
        """Slice `index` as (rows, columns), in the unit of the volume."""
        ...


@dataclass(frozen=True, slots=True)
class ArraySource:
    """A pixel source for slices that are already in memory."""

    array: NDArray[Any]

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or 0 in self.array.shape:
            raise ValueError(
                f"a volume is (slices, rows, columns), none of them empty, not {self.array.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        slices, rows, columns = self.array.shape
        return slices, rows, columns

    def read(self, index: int) -> NDArray[Any]:
        picture: NDArray[Any] = self.array[index]
        return picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One series of axial slices, ordered from feet to head."""

    pixels: PixelSource
    """Where the slices come from; use `slice` or `array` to read them."""

    unit: Unit
    """HU (int16 or float32 slices) or GREY (uint8 slices)."""

    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    """(4, 4): index (slice, row, column, 1) to patient LPS millimetres."""

    has_geometry: bool = True
    """False for pictures, whose place and size in the patient are unknown; affine is then 1."""

    lung_masked: bool = False
    """True when the pictures are already cut to the lung, with 0 everywhere else."""

    flags: tuple[QualityFlag, ...] = ()
    """What the reader noticed on the way."""

    series: Series | None = None
    """Which series this is and why it was chosen; None for a volume made in memory."""

    study: Study | None = None
    """The study it was read from; None for a volume made in memory."""

    def __post_init__(self) -> None:
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise ValueError("affine must be a finite (4, 4) matrix")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.pixels.shape

    def slice(self, index: int) -> NDArray[Any]:
        """Slice `index`, 0 at the feet, as (rows, columns); decodes this slice only."""
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index} does not exist: the volume has {len(self)}")
        return self.pixels.read(index)

    def slices(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """These slices in turn; a source that can decodes the next one while one is looked at.

        Other slices of the volume may be read meanwhile, by this thread or another one.
        """
        read_ahead = getattr(self.pixels, "read_ahead", None)
        return read_ahead(indices) if read_ahead else map(self.slice, indices)

    @property
    def array(self) -> NDArray[Any]:
        """All slices as (slices, rows, columns); decodes the whole series, at every call."""
        return np.stack([self.slice(index) for index in range(len(self))])

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along (slice, row, column), in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])


def volume_of(array: NDArray[Any], unit: Unit, spacing_mm: Sequence[float] | None = None) -> Volume:
    """An axial volume made in memory: slices from feet to head, rows to the back, columns left.

    Args:
        array: (slices, rows, columns) in `unit`.
        unit: what the values mean.
        spacing_mm: (slice, row, column) in mm; None when unknown.
    """
    affine = np.eye(4)
    if spacing_mm is not None:
        between, down, along = spacing_mm
        affine[:3, :3] = [[0, 0, along], [0, down, 0], [between, 0, 0]]
    return Volume(
        pixels=ArraySource(array), unit=unit, affine=affine, has_geometry=spacing_mm is not None
    )
