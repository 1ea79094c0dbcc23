"""DICOM series that are awkward and all right: each must give the ramp, voxel by voxel."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import encodings_of_ct as encode
import numpy as np
import oddities as odd
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from ramp_ct import (
    AXIAL,
    COLUMN_MM,
    COLUMNS,
    ORIGIN,
    ROW_MM,
    ROWS,
    SLICE_MM,
    SLICES,
    chest,
    save,
    with_tags,
)


@dataclass(frozen=True, slots=True)
class Readable:
    """One awkward series, and what a good reader makes of it."""

    name: str
    write: Callable[[Path], object]
    """Writes the series into an empty folder."""

    flags: tuple[str, ...] = ()
    """Codes of what the reader must say about it."""

    tolerance_hu: float = 0.51
    """Rounding to whole HU, unless the storage is coarser."""

    orientation: tuple[float, ...] = AXIAL
    step: tuple[float, ...] = (0, 0, SLICE_MM)
    origin: tuple[float, ...] = ORIGIN

    @property
    def corners(self) -> NDArray[np.float64]:
        """(8, 3): the LPS places of the outermost voxels, in no particular order."""
        affine = np.eye(4)
        affine[:3, 0] = self.step
        affine[:3, 1] = ROW_MM * np.array(self.orientation[3:])
        affine[:3, 2] = COLUMN_MM * np.array(self.orientation[:3])
        affine[:3, 3] = self.origin
        return corners_of(affine, (SLICES, ROWS, COLUMNS))


def corners_of(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(8, 3): where the outermost voxels of an array lie."""
    return np.array(
        [affine[:3] @ (*at, 1) for at in itertools.product(*[(0, size - 1) for size in shape])]
    )


def _of(slices: Callable[[], list[Dataset]]) -> Callable[[Path], object]:
    return lambda folder: save(slices(), folder)


def _turned(
    name: str, orientation: tuple[float, ...], step: tuple[float, ...], *flags: str
) -> Readable:
    # Slices whose rows run down to the feet begin higher, so that no value falls below air.
    origin = (-10.0, -20.0, 30.0) if orientation[5] < -0.5 else ORIGIN
    return Readable(
        name,
        _of(lambda: chest(orientation=orientation, step=step, origin=origin)),
        flags,
        orientation=orientation,
        step=step,
        origin=origin,
    )


def _rotated(name: str, axis: int, angle_deg: float, *flags: str) -> Readable:
    """An acquisition turned about one of the patient's axes, its slices still at right angles."""
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first], turn[first, second] = cosine, -sine
    turn[second, first], turn[second, second] = sine, cosine
    row, column, normal = turn.T
    return _turned(name, (*row, *column), tuple(SLICE_MM * normal), *flags)


LOSSLESS = encode.lossless_chest
READABLE = (
    Readable("shuffled names", odd.shuffled_names),
    Readable("InstanceNumber reversed", _of(chest)),
    Readable("InstanceNumber all zero", _of(lambda: with_tags(chest(), InstanceNumber=0))),
    Readable("no extensions, nested folders", odd.nested),
    Readable("tags that contradict the positions", _of(odd.stated_wrongly)),
    _turned("prone", (-1, 0, 0, 0, -1, 0), (0, 0, 3)),
    _turned("negated row cosine", (-1, 0, 0, 0, 1, 0), (0, 0, 3)),
    _turned("negated column cosine", (1, 0, 0, 0, -1, 0), (0, 0, 3)),
    _turned("rows and columns exchanged", (0, 1, 0, 1, 0, 0), (0, 0, 3)),
    _turned("sagittal", (0, 1, 0, 0, 0, -1), (3, 0, 0), "turned_to_axial"),
    _turned("coronal", (1, 0, 0, 0, 0, -1), (0, 3, 0), "turned_to_axial"),
    _rotated("oblique by 3 degrees", 0, 3),
    _rotated("oblique by 20 degrees", 0, 20, "oblique"),
    _rotated("turned by 15 degrees in the plane", 2, 15, "oblique"),
    Readable("a rescale for each slice", _of(odd.own_rescale)),
    Readable("fractional slope", _of(lambda: chest(slope=0.25))),
    Readable("JPEG 2000", _of(lambda: encode.packed(LOSSLESS(), uid.JPEG2000Lossless))),
    Readable(
        "JPEG 2000, wrong sign", _of(lambda: encode.wrong_sign(chest(signed=True, intercept=0)))
    ),
    Readable("JPEG-LS", _of(lambda: encode.packed(LOSSLESS(), uid.JPEGLSLossless))),
    Readable(
        "JPEG-LS, near-lossless",
        _of(lambda: encode.packed(LOSSLESS(), uid.JPEGLSNearLossless, jls_error=2)),
        ("lossy_compression",),
        2.51,
    ),
    Readable(
        "JPEG baseline, 8 bit",
        lambda f: encode.save_with_gdcm(encode.in_eight_bits(chest()), f, encode.BASELINE),
        ("lossy_compression",),
        20,
    ),
    Readable(
        "JPEG Lossless (14)", lambda f: encode.save_with_gdcm(LOSSLESS(), f, encode.LOSSLESS_14)
    ),
    Readable(
        "JPEG Lossless SV1", lambda f: encode.save_with_gdcm(LOSSLESS(), f, encode.LOSSLESS_SV1)
    ),
    Readable("RLE", _of(lambda: encode.packed(chest(), uid.RLELossless))),
    Readable("HTJ2K", _of(lambda: encode.high_throughput(chest()))),
    Readable("deflated", _of(lambda: odd.in_syntax(uid.DeflatedExplicitVRLittleEndian))),
    Readable("mixed transfer syntaxes", _of(odd.mixed_syntaxes)),
    Readable("elements of unknown VR", _of(odd.of_unknown_vr)),
    Readable("implicit VR", _of(lambda: odd.in_syntax(uid.ImplicitVRLittleEndian))),
    Readable("implicit VR, bare", lambda f: encode.save_bare(chest(), f)),
    Readable(
        "big endian",
        _of(lambda: odd.in_syntax(uid.ExplicitVRBigEndian, lambda: encode.big_endian(chest()))),
    ),
    Readable("Enhanced multi-frame", _of(lambda: [encode.enhanced(odd.own_rescale()[::-1])])),
    Readable("Enhanced, frames shuffled", _of(lambda: [encode.enhanced(encode.shuffled(chest()))])),
    Readable(
        "Enhanced, JPEG 2000",
        _of(lambda: encode.packed([encode.enhanced(chest())], uid.JPEG2000Lossless)),
    ),
    Readable(
        "Enhanced, deflated",
        _of(
            lambda: odd.in_syntax(
                uid.DeflatedExplicitVRLittleEndian, lambda: [encode.enhanced(chest())]
            )
        ),
    ),
    Readable("Enhanced in two parts", _of(lambda: encode.parts(chest()))),
    Readable("duplicates", odd.doubled, ("duplicates_dropped",)),
    Readable("localizer inside the series", _of(odd.with_localizer), ("localizers_left_out",)),
    Readable("second small series", odd.with_small_series),
    Readable("junk and DICOMDIR beside", odd.with_junk),
    Readable("private elements and overlays", _of(odd.with_private_parts)),
    Readable("signed 16 bit", _of(lambda: chest(signed=True, intercept=0))),
    Readable("signed 12 bit", _of(lambda: encode.stored_as(chest(signed=True, intercept=0), 12))),
    Readable("unsigned 12 bit", _of(lambda: encode.stored_as(chest(), 12))),
    Readable("12 bit, left-aligned", _of(lambda: encode.left_aligned(chest()))),
    Readable("32 bit", _of(odd.in_32_bits)),
    Readable("8 bit", _of(lambda: encode.in_eight_bits(chest())), tolerance_hu=2.51),
    Readable("padding value", _of(lambda: odd.padded(63536))),
    Readable("padding range", _of(lambda: odd.padded(63500, 63600))),
    Readable(
        "monochrome1", _of(lambda: with_tags(chest(), PhotometricInterpretation="MONOCHROME1"))
    ),
    Readable("odd character sets", odd.raw_names),
    Readable("missing optional tags", _of(odd.without_optional_tags)),
    Readable("positions with one decimal", _of(odd.rounded), tolerance_hu=0.86, step=(0, 0, 0.625)),
    Readable("overlapping slices", _of(lambda: with_tags(chest(), SliceThickness=5))),
)
"""Non-square pixels (2 x 1 mm) are in every one of them."""
