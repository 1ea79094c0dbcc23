"""From stored DICOM values to Hounsfield units, one slice at a time and only when asked for."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.display import Reorientation
from deeppneumonia.readers.gate import Lease
from deeppneumonia.readers.headers import PixelFormat, SliceHeader
from deeppneumonia.readers.refusals import MissingRescaleError

AIR_HU = -1000
FLOOR_HU = -1024
"""Lower clamp: nothing absorbs less than air; what lies below is noise or padding."""

MAX_SLOPE, MAX_INTERCEPT_HU = 1000.0, 100_000.0
"""Far beyond any scanner: CT is stored with slopes of 0.01 to 16 and intercepts of 0 to -10,000."""

NOT_HU = {"OD", "Z_EFF", "ED", "EDW", "MGML", "PCT"}
"""Rescale Types of spectral and other maps (PS3.3 C.11.1.1.2); US (unspecified) is HU in CT."""


@dataclass(frozen=True)
class DicomSlices:
    """The pixels of a checked series; nothing is kept in memory, unless slices are turned."""

    headers: tuple[SliceHeader, ...]
    """Along their normal: from feet to head for axial slices."""

    reorientation: Reorientation
    dtype: np.dtype[Any]
    """int16, or float32 where a slope or intercept is fractional."""

    lease: Lease | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        size = len(self.headers), self.headers[0].rows, self.headers[0].columns
        slices, rows, columns = (size[axis] for axis in self.reorientation.axes)
        return slices, rows, columns

    def read(self, index: int) -> NDArray[Any]:
        """Slice `index` in HU; StudyError when its pixel data are damaged."""
        if not self.reorientation.slices_stay_slices:
            return np.ascontiguousarray(self._turned[index])
        picture = self.reorientation.apply_to_slice(self._read_source(index))
        return np.ascontiguousarray(picture)

    @cached_property
    def _turned(self) -> NDArray[Any]:
        """All of a sagittal or coronal series as axial slices, for which each file is needed."""
        first = self.headers[0]
        source = np.empty((len(self.headers), first.rows, first.columns), self.dtype)
        for index in range(len(self.headers)):
            source[index] = self._read_source(index)
        return self.reorientation.apply(source)

    def _read_source(self, index: int) -> NDArray[Any]:
        header = self.headers[index]
        try:
            stored = decode_stored(header)
        except StudyError as error:
            raise StudyError(f"Slice {index} (the lowest is 0): {error}") from error
        return to_hu(stored, header, self.dtype)


def dtype_for(headers: tuple[SliceHeader, ...]) -> np.dtype[Any]:
    """The type that holds HU without loss: int16, or float32 where the rescale is fractional."""
    whole = all(
        float(value).is_integer() for h in headers for value in (h.slope or 0, h.intercept or 0)
    )
    return np.dtype(np.int16 if whole else np.float32)


def check_rescale(headers: tuple[SliceHeader, ...]) -> None:
    """Refuse slices whose stored values have no known way to HU, or are colours."""
    for number, header in enumerate(headers, start=1):
        slope, intercept = header.slope, header.intercept
        if slope is None or intercept is None:
            raise MissingRescaleError(
                "Rescale Slope (0028,1053) or Rescale Intercept (0028,1052) is missing in slice "
                f"{number}, so its values cannot be turned into Hounsfield units: "
                "export the original CT images."
            )
        sane = 0 < slope <= MAX_SLOPE and abs(intercept) <= MAX_INTERCEPT_HU
        if not sane or header.rescale_type in NOT_HU:
            raise MissingRescaleError(
                f"Slice {number} has Rescale Slope {slope:g}, Rescale Intercept {intercept:g} and "
                f"Rescale Type {header.rescale_type or 'HU'}, which do not give Hounsfield units: "
                "give a plain CT series."
            )
        if header.pixels.samples != 1 or not header.pixels.photometric.startswith("MONOCHROME"):
            raise StudyError(
                f"Slice {number} holds colours, where grey CT values are expected: "
                "give the original CT images, not a screen capture."
            )
        if header.pixels.bits_allocated not in (8, 16, 32):
            raise StudyError(
                f"Slice {number} has {header.pixels.bits_allocated} bits a pixel, where 8, 16 or "
                "32 are expected: export the original CT images."
            )


def to_hu(stored: NDArray[Any], header: SliceHeader, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Apply one slice's own rescale (PS3.3 C.11.1.1.2); padding becomes air.

    MONOCHROME1 changes how values are shown, not what they mean (C.7.6.3.1.2), so that it plays
    no part here.
    """
    if header.slope is None or header.intercept is None:
        raise MissingRescaleError("The slice has no rescale: call check_rescale first.")
    rescale = (header.slope, header.intercept)
    if stored.dtype in (np.uint16, np.int16) and stored.dtype.isnative:
        table = _hu_of_16_bits(stored.dtype.name, rescale, header.pixels, dtype.name)
        return np.asarray(table.take(stored.view(np.uint16)))
    return _rescaled(stored, rescale, header.pixels, dtype)


@lru_cache(maxsize=4)
def _hu_of_16_bits(
    kind: str, rescale: tuple[float, float], pixels: PixelFormat, dtype: str
) -> NDArray[Any]:
    """(65536,): what every value of 16 bits means, looked up in a tenth of the time."""
    every = np.arange(65536, dtype=np.uint16).view(kind)
    return _rescaled(every, rescale, pixels, np.dtype(dtype))


def _rescaled(
    stored: NDArray[Any],
    rescale: tuple[float, float],
    pixels: PixelFormat,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    slope, intercept = rescale
    values = clean_bits(stored, pixels)
    hu = np.maximum(values.astype(np.float64) * slope + intercept, FLOOR_HU)
    if pixels.padding is not None:
        low, high = pixels.padding
        # Some scanners write a padding value that needs more bits than they say are stored.
        for seen in (stored, values):
            hu[(seen >= low) & (seen <= high)] = AIR_HU
    if dtype == np.int16:
        hu = hu.clip(FLOOR_HU, np.iinfo(np.int16).max)
    converted: NDArray[Any] = hu.astype(dtype)
    return converted


def decode_stored(header: SliceHeader) -> NDArray[Any]:
    """The stored values of one slice, (rows, columns), with all allocated bits.

    Raises:
        StudyError: no pixel data, truncated or damaged data, or a compression that cannot be read.
    """
    syntax = UID(header.transfer_syntax).name if header.transfer_syntax else "unknown"
    try:
        stored = _decode(header)
    except (MemoryError, RecursionError):  # a limit of the reading process, which names it
        raise
    # Codecs raise whatever they like for damaged data; the cause is kept.
    except Exception as error:
        raise StudyError(
            f"the pixel data (transfer syntax {syntax}) are missing, damaged, or packed in a way "
            "that cannot be read; export the study again, uncompressed."
        ) from error
    if stored.shape != (header.rows, header.columns):
        raise StudyError(
            f"the pixel data are {stored.shape}, where the header states {header.rows} x "
            f"{header.columns} pixels; export the study again."
        )
    return stored


def _decode(header: SliceHeader) -> NDArray[Any]:
    if header.frames > 1 and header.transfer_syntax != DeflatedExplicitVRLittleEndian:
        frame: NDArray[Any] = pixel_array(
            header.file, index=header.frame, raw=True, correct_unused_bits=False
        )
        return frame
    dataset = pydicom.dcmread(header.file, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )
    stored: NDArray[Any] = pixel_array(
        dataset, index=header.frame, raw=True, correct_unused_bits=False
    )
    return stored


def clean_bits(stored: NDArray[Any], pixels: PixelFormat) -> NDArray[Any]:
    """Keep bits_stored bits below high_bit: older files keep overlays in the others."""
    if pixels.bits_stored == pixels.bits_allocated or pixels.high_bit >= pixels.bits_allocated:
        return stored
    shift = pixels.high_bit + 1 - pixels.bits_stored
    values = stored.astype(np.int64) >> max(shift, 0)
    values &= (1 << pixels.bits_stored) - 1
    if pixels.signed:
        sign = 1 << (pixels.bits_stored - 1)
        values = (values ^ sign) - sign
    return values
