"""One axial slice as the painters see it: where its pixels lie in the standard chest."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.shapes import Field

Place = tuple[slice, slice]
"""Where a part lies in its slice: rows, columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One slice, or a part of it; every field is (rows, columns)."""

    x: Field
    """mm of the standard chest, to the patient's left."""

    y: Field
    """mm of the standard chest, to the back."""

    z: float
    """Height in mm above the lowest slice."""

    cavity: Field
    """Depth inside the inner surface of the rib cage, in mm."""

    mottle: Field
    """Noise around 0, deviation 1, in patches of about 22 mm."""

    soft_mm: float
    """How wide the edges of bodies are drawn, about one pixel."""

    def part(self, inside: Field) -> tuple["Plane", Place]:
        """The smallest part that holds all pixels where `inside` is positive, and where it is."""
        rows, columns = np.flatnonzero((inside > 0).any(1)), np.flatnonzero((inside > 0).any(0))
        where = (_span(rows), _span(columns))
        fields = {name: getattr(self, name)[where] for name in ("x", "y", "cavity", "mottle")}
        return replace(self, **fields), where


def _span(indices: NDArray[np.intp]) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)
