"""NIfTI-1 files read strictly: what is truncated, singular or no number is refused, not repaired.

SimpleITK fills missing voxels and NaN with 0 and mends affines without a word, so that this room
reads the format itself. Source: nifti1.h of the NIfTI Data Format Working Group (2003).
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.limits import check_growth, check_voxels
from deeppneumonia.readers.text_headers import DamagedVolumeError

HEADER_BYTES = 348
DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""xyzt_units: unknown (taken as mm, as everybody does), metre, millimetre, micrometre."""

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """What is needed to find the voxels and to place them."""

    shape: tuple[int, int, int]
    """Voxels along the third, second and first axis of the file, the order of the array."""

    affine: NDArray[np.float64]
    """(4, 4): array index to LPS mm."""

    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float


def read_nifti_header(file: Path) -> NiftiHeader:
    """The first 348 bytes, checked.

    Raises:
        StudyError: not NIfTI-1, not one volume of three axes, an unusual type of voxel, no
            orientation, or more voxels than a CT has.
    """
    try:
        with _opened(file) as stream:
            raw = stream.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedVolumeError from error
    order = "<" if raw[:4] == struct.pack("<i", HEADER_BYTES) else ">"
    if len(raw) < HEADER_BYTES or _values(raw, order, "i", 0) != (HEADER_BYTES,):
        raise DamagedVolumeError
    if raw[344:348] != b"n+1\0":
        raise StudyError(
            "The NIfTI file keeps its voxels in a second file, where a single .nii or .nii.gz is "
            "expected: convert the study again."
        )
    dims = _values(raw, order, "8h", 40)
    _check_dims(dims)
    code = _values(raw, order, "h", 70)[0]
    if code not in DTYPES:
        raise StudyError(
            f"The NIfTI file has voxels of type {code} (colours or complex numbers), where plain "
            "numbers are expected: export a single CT volume."
        )
    offset, slope, intercept = _values(raw, order, "3f", 108)
    scaled = np.isfinite([slope, intercept]).all() and slope != 0
    return NiftiHeader(
        shape=(dims[3], dims[2], dims[1]),
        affine=_affine(raw, order),
        dtype=np.dtype(order + DTYPES[code]),
        offset=max(HEADER_BYTES, int(offset)) if np.isfinite(offset) else HEADER_BYTES,
        slope=slope if scaled else 1.0,
        intercept=intercept if scaled else 0.0,
    )


def read_nifti_voxels(file: Path, header: NiftiHeader) -> NDArray[Any]:
    """All voxels as stored; DamagedVolumeError unless the file holds every one of them."""
    size = int(np.prod(header.shape)) * header.dtype.itemsize
    check_growth(file.stat().st_size, size)
    try:
        with _opened(file) as stream:
            _skip(stream, header.offset)
            content = stream.read(size)
            stream.read(1)  # at the end of a gzip stream, this checks its CRC
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedVolumeError from error
    if len(content) < size:
        raise DamagedVolumeError
    return np.frombuffer(content, header.dtype).reshape(header.shape)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """The file's content, unpacked if it is packed, whatever its name says."""
    with file.open("rb") as stream:
        is_packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if not is_packed:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield cast(BinaryIO, unpacked)


def _skip(stream: BinaryIO, count: int) -> None:
    """Read over extensions in small pieces: a seek in a gzip stream reads everything anyway."""
    while count > 0 and (piece := stream.read(min(count, 1 << 20))):
        count -= len(piece)


def _values(raw: bytes, order: str, layout: str, at: int) -> tuple[Any, ...]:
    return struct.unpack_from(order + layout, raw, at)


def _check_dims(dims: tuple[int, ...]) -> None:
    if dims[0] not in range(3, 8) or any(size > 1 for size in dims[4 : dims[0] + 1]):
        raise StudyError(
            f"The NIfTI file has {dims[0]} dimensions of size {dims[1:]}, where one volume of 3 "
            "dimensions is expected: export a single CT volume."
        )
    check_voxels(dims[3], dims[2], dims[1])


def _affine(raw: bytes, order: str) -> NDArray[np.float64]:
    """From the sform, or the qform where there is none; refused where there is neither."""
    qform_code, sform_code = _values(raw, order, "2h", 252)
    if qform_code <= 0 and sform_code <= 0:
        raise StudyError(
            "The NIfTI file does not say how its axes lie in the patient (sform and qform codes "
            "are 0), so left and right are unknown: convert the study again from DICOM."
        )
    ras = _sform(raw, order) if sform_code > 0 else _qform(raw, order)
    if min(qform_code, sform_code) > 0 and _senses(ras) != _senses(_qform(raw, order)):
        raise StudyError(
            "The sform and the qform of the NIfTI file contradict each other about which way its "
            "axes run in the patient, so left and right are unknown: convert the study again from "
            "DICOM."
        )
    scale = UNIT_MM.get(raw[123] & 0x07, 1.0)
    lps = RAS_TO_LPS @ np.diag([scale, scale, scale, 1.0]) @ ras
    # The file counts columns first, the array counts slices first.
    affine: NDArray[np.float64] = lps[:, [2, 1, 0, 3]]
    return affine


def _sform(raw: bytes, order: str) -> NDArray[np.float64]:
    return np.vstack([np.reshape(_values(raw, order, "12f", 280), (3, 4)), [0, 0, 0, 1]])


def _senses(affine: NDArray[np.float64]) -> list[tuple[int, bool]]:
    """Which axis of the patient each axis of the file is nearest to, and which way it runs."""
    axes = [int(np.abs(affine[:3, own]).argmax()) for own in range(3)]
    return [(axis, bool(affine[axis, own] < 0)) for own, axis in enumerate(axes)]


def _qform(raw: bytes, order: str) -> NDArray[np.float64]:
    """Rotation from a unit quaternion, with voxel sizes and the sense of the third axis."""
    b, c, d, *offset = _values(raw, order, "6f", 256)
    sense, *sizes = _values(raw, order, "4f", 76)
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * sizes * np.array([1, 1, -1 if sense < 0 else 1])
    affine[:3, 3] = offset
    return affine
