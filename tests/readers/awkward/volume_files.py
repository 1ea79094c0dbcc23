"""The ramp CT as NIfTI, MetaImage and NRRD, written by hand so that every field can be wrong."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ramp_ct import COLUMN_MM, COLUMNS, ORIGIN, ROW_MM, ROWS, SLICE_MM, SLICES, grid, ramp

SIZE = (COLUMNS, ROWS, SLICES)
SPACING = (COLUMN_MM, ROW_MM, SLICE_MM)
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIFTI_TYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "u2": 512}
META_TYPES = {"u1": "UCHAR", "i2": "SHORT", "f4": "FLOAT", "f8": "DOUBLE", "u2": "USHORT"}
NRRD_TYPES = {"u1": "uint8", "i2": "int16", "f4": "float", "f8": "double", "u2": "uint16"}


def placed(
    axes: Sequence[int] = (0, 1, 2), flips: Sequence[int] = (0, 0, 0)
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """LPS affine of a file's own index, and its size, for axes exchanged and turned round.

    The voxels cover the same places whatever the axes are.
    """
    affine = np.eye(4)
    start = np.array(ORIGIN)
    for own, world in enumerate(axes):
        step = SPACING[world] * (-1 if flips[own] else 1)
        affine[:3, own] = step * np.eye(3)[world]
        if flips[own]:
            start[world] += SPACING[world] * (SIZE[world] - 1)
    affine[:3, 3] = start
    return affine, tuple(SIZE[world] for world in axes)


def voxels(affine: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Ramp values in the order of the file: its first axis runs fastest, so it is last here."""
    return ramp(grid(affine, size)).transpose(2, 1, 0)


def nifti(
    file: Path,
    *,
    affine: NDArray[np.float64] | None = None,
    size: tuple[int, ...] = SIZE,
    values: NDArray[Any] | None = None,
    dtype: str = "i2",
    order: str = "<",
    codes: tuple[int, int] = (0, 1),
    qform: Sequence[float] = (0, 0, 1, 10, 20, -30),
    sense: float = 1,
    units: int = 2,
    scale: tuple[float, float] = (1, 0),
    offset: float = 352,
    dims: Sequence[int] | None = None,
    srow: Sequence[Sequence[float]] | None = None,
) -> Path:
    """NIfTI-1; the default qform is the quaternion and offset of the default affine."""
    affine = placed()[0] if affine is None else affine
    stored = voxels(affine, size) if values is None else values
    header = bytearray(352)
    put = lambda layout, at, *what: struct.pack_into(order + layout, header, at, *what)  # noqa: E731
    put("i", 0, 348)
    put("8h", 40, *(dims or (3, *size, 1, 1, 1, 1)))
    put("2h", 70, NIFTI_TYPES[dtype], 8 * np.dtype(dtype).itemsize)
    put("8f", 76, sense, *np.linalg.norm(affine[:3, :3], axis=0), 0, 0, 0, 0)
    put("3f", 108, offset, *scale)
    header[123] = units
    put("2h", 252, *codes)
    put("6f", 256, *qform)
    rows = (RAS @ affine)[:3] if srow is None else np.array(srow)
    put("12f", 280, *rows.ravel())
    header[344:348] = b"n+1\0"
    content = bytes(header) + bytes(int(offset) - 352) + stored.astype(order + dtype).tobytes()
    file.write_bytes(gzip.compress(content) if file.name.endswith("gz") else content)
    return file


def meta_image(
    file: Path,
    *,
    affine: NDArray[np.float64] | None = None,
    size: tuple[int, ...] = SIZE,
    values: NDArray[Any] | None = None,
    dtype: str = "i2",
    big_endian: bool = False,
    packed: bool = False,
    **fields: str | None,
) -> Path:
    """MetaImage in one file (or `.mhd` beside `.raw`); a field given as None is left out."""
    affine = placed()[0] if affine is None else affine
    stored = voxels(affine, size) if values is None else values
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / np.where(lengths, lengths, 1)
    content = stored.astype((">" if big_endian else "<") + dtype).tobytes()
    content = zlib.compress(content) if packed else content
    beside = file.suffix == ".mhd"
    header: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(big_endian),
        "CompressedData": str(packed),
        "CompressedDataSize": str(len(content)) if packed else None,
        "TransformMatrix": _text(cosines.T.ravel()),
        "Offset": _text(affine[:3, 3]),
        "ElementSpacing": _text(lengths),
        "DimSize": _text(size),
        "ElementType": f"MET_{META_TYPES[dtype]}",
    }
    header |= fields
    header["ElementDataFile"] = f"{file.stem}.raw" if beside else "LOCAL"
    text = "".join(f"{name} = {value}\n" for name, value in header.items() if value is not None)
    if beside:
        file.with_suffix(".raw").write_bytes(content)
    file.write_bytes(text.encode() + (b"" if beside else content))
    return file


def nrrd(
    file: Path,
    *,
    affine: NDArray[np.float64] | None = None,
    size: tuple[int, ...] = SIZE,
    values: NDArray[Any] | None = None,
    dtype: str = "i2",
    space: str = "left-posterior-superior",
    encoding: str = "raw",
    **fields: str | None,
) -> Path:
    """NRRD; keys are given with underscores, and one given as None is left out."""
    affine = placed()[0] if affine is None else affine
    stored = voxels(affine, size) if values is None else values
    if space.startswith("right-anterior"):
        affine = RAS @ affine
    content = stored.astype("<" + dtype).tobytes()
    header: dict[str, str | None] = {
        "type": NRRD_TYPES[dtype],
        "dimension": "3",
        "space": space,
        "sizes": _text(size),
        "space_directions": " ".join(
            f"({','.join(map(repr, c.tolist()))})" for c in affine.T[:3, :3]
        ),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": encoding,
        "space_origin": f"({','.join(map(repr, affine[:3, 3].tolist()))})",
    }
    header |= fields
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in header.items() if value]
    body = gzip.compress(content) if encoding == "gzip" else content
    file.write_bytes(("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + body)
    return file


def _text(numbers: Any) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)
