"""Slices whose pixels are longer than wide, or wider than long, on a grid of square pixels.

Lungs are searched with disks and pictures are cut with their shape kept, both of which need pixels
as long as wide. What was found is then brought back to the pixels of the source.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import PictureFrame, Volume

SAME_LENGTH = 0.01
"""Sides of a pixel that differ by less are equal: headers round, and nobody sees a percent."""

MAX_SIDE_PX = 2048
"""No grid is larger, however long and thin the pixels."""


@dataclass(frozen=True, slots=True)
class SquareGrid:
    """The size of a volume's slices, and of the same slices in square pixels."""

    source: tuple[int, int]
    """(rows, columns) as they were read."""

    square: tuple[int, int]
    """(rows, columns) of square pixels; the same as `source` where pixels are square already."""

    @classmethod
    def of(cls, volume: Volume) -> "SquareGrid":
        """Squares of the shorter side of a pixel; pixels of unknown size are taken as square."""
        _, rows, columns = volume.shape
        _, row_mm, column_mm = volume.spacing_mm
        if not volume.has_geometry or abs(row_mm / column_mm - 1) < SAME_LENGTH:
            return cls((rows, columns), (rows, columns))
        height_mm, width_mm = rows * row_mm, columns * column_mm
        side_mm = max(min(row_mm, column_mm), max(height_mm, width_mm) / MAX_SIDE_PX)
        square = max(1, round(height_mm / side_mm)), max(1, round(width_mm / side_mm))
        return cls((rows, columns), square)

    def to_square(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """A source slice in square pixels, of the same type; the slice itself if it is square."""
        if self.source == self.square:
            return pixels
        values = cv2.resize(
            pixels.astype(np.float32), self.square[::-1], interpolation=cv2.INTER_LINEAR
        )
        if np.issubdtype(pixels.dtype, np.integer):
            values = np.round(values)
        return np.asarray(values.astype(pixels.dtype))

    def mask_to_source(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask in square pixels on the source slice."""
        if self.source == self.square:
            return mask
        levels = cv2.resize(255 * mask.astype(np.uint8), self.source[::-1])
        return np.asarray(levels > 127, np.bool_)

    def frame_to_source(self, frame: PictureFrame) -> PictureFrame:
        """Where a picture that was cut from square pixels lies in the source slice."""
        if self.source == self.square:
            return frame
        down, along = (
            mine / squares for mine, squares in zip(self.source, self.square, strict=True)
        )
        return PictureFrame(
            frame.x_scale * along,
            frame.y_scale * down,
            frame.x_offset * along,
            frame.y_offset * down,
        )
