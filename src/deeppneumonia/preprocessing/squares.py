"""Slices whose pixels are longer than wide, or wider than long, on a grid of square pixels.

Lungs are searched with disks and pictures are cut with their shape kept, both of which need pixels
as long as wide. What was found is then brought back to the pixels of the source. Of a slice far
wider than a chest only the part around the body is looked at (see `field`).
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import PictureFrame, Volume
from deeppneumonia.preprocessing.field import Window, field_window

SAME_LENGTH = 0.01
"""Sides of a pixel that differ by less are equal: headers round, and nobody sees a percent."""

MAX_SIDE_PX = 2048
"""No grid is larger, however long and thin the pixels."""


@dataclass(frozen=True, slots=True)
class SquareGrid:
    """The part of a slice that is looked at, and the size of it in square pixels."""

    source: tuple[int, int]
    """(rows, columns) of the slice as it was read."""

    window: Window
    """The rows and columns that are looked at."""

    square: tuple[int, int]
    """(rows, columns) of square pixels; those of `window` where pixels are square already."""

    @classmethod
    def of(cls, pixels: NDArray[Any], volume: Volume) -> "SquareGrid":
        """Squares of the shorter side of a pixel; pixels of unknown size are taken as square."""
        window = field_window(pixels, volume)
        rows, columns = (part.stop - part.start for part in window)
        _, row_mm, column_mm = volume.spacing_mm
        if not volume.has_geometry or abs(row_mm / column_mm - 1) < SAME_LENGTH:
            return cls((pixels.shape[0], pixels.shape[1]), window, (rows, columns))
        height_mm, width_mm = rows * row_mm, columns * column_mm
        side_mm = max(min(row_mm, column_mm), max(height_mm, width_mm) / MAX_SIDE_PX)
        square = max(1, round(height_mm / side_mm)), max(1, round(width_mm / side_mm))
        return cls((pixels.shape[0], pixels.shape[1]), window, square)

    @property
    def part(self) -> tuple[int, int]:
        """(rows, columns) of `window`."""
        down, along = self.window
        return down.stop - down.start, along.stop - along.start

    def to_square(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The part of a slice in square pixels, of the same type; the slice itself if it is so."""
        pixels = pixels if self.part == self.source else pixels[self.window]
        if self.part == self.square:
            return pixels
        values = cv2.resize(
            pixels.astype(np.float32), self.square[::-1], interpolation=cv2.INTER_LINEAR
        )
        if np.issubdtype(pixels.dtype, np.integer):
            values = np.round(values)
        return np.asarray(values.astype(pixels.dtype))

    def mask_to_source(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask in square pixels on the source slice; nothing is marked beyond the part."""
        if self.part != self.square:
            mask = cv2.resize(255 * mask.astype(np.uint8), self.part[::-1]) > 127
        if self.part == self.source:
            return mask
        marked = np.zeros(self.source, np.bool_)
        marked[self.window] = mask
        return marked

    def frame_to_source(self, frame: PictureFrame) -> PictureFrame:
        """Where a picture that was cut from square pixels lies in the source slice."""
        if self.source == self.part == self.square:
            return frame
        down, along = (mine / squares for mine, squares in zip(self.part, self.square, strict=True))
        top, left = (part.start for part in self.window)
        return PictureFrame(
            frame.x_scale * along,
            frame.y_scale * down,
            frame.x_offset * along + left,
            frame.y_offset * down + top,
        )
