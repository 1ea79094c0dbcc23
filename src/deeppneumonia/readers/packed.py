"""Voxels of a MetaImage or NRRD as stored: the toolkit takes damaged ones for whole.

Packed ones are unpacked here, and more raw ones than the header states are refused.

SimpleITK 2.5 was seen to fill up what packed voxels of a MetaImage lack with zeros, to give back
whatever stood in memory where CompressedDataSize is missing, and to leave the checksum of an NRRD
unread where damaged voxels unpack to more than they were, all without an error. Sources: MetaIO's
documentation; the NRRD format definition (teem).
"""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.study import SourceKind
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.text_headers import HEADER_BYTES, DamagedVolumeError

HEADER_END = {
    SourceKind.META_IMAGE: re.compile(
        rb"^[ \t]*ElementDataFile[^\n]*\n", re.IGNORECASE | re.MULTILINE
    ),
    SourceKind.NRRD: re.compile(rb"\n\r?\n"),
}
ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
ORDER_FIELDS = ("binarydatabyteordermsb", "elementbyteordermsb")
SKIP_FIELDS = ("line skip", "lineskip", "byte skip", "byteskip")
DTYPES = {
    "8-bit signed integer": "i1",
    "8-bit unsigned integer": "u1",
    "16-bit signed integer": "i2",
    "16-bit unsigned integer": "u2",
    "32-bit signed integer": "i4",
    "32-bit unsigned integer": "u4",
    "64-bit signed integer": "i8",
    "64-bit unsigned integer": "u8",
    "32-bit float": "f4",
    "64-bit float": "f8",
}
"""By SimpleITK's words for a pixel type."""


def is_packed(fields: Mapping[str, str], kind: SourceKind) -> bool:
    """Whether the header says that its voxels are compressed, in the one way that is read here."""
    if kind is SourceKind.META_IMAGE:
        return _says_yes(fields.get("compresseddata", ""))
    skips = any(fields.get(name, "0") != "0" for name in SKIP_FIELDS)
    return fields.get("encoding", "").lower() in ("gzip", "gz") and not skips


def packed_voxels(
    file: Path,
    pixels: Path,
    fields: Mapping[str, str],
    kind: SourceKind,
    pixel_type: str,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """All voxels of a packed MetaImage or NRRD as stored.

    Args:
        file: the header.
        pixels: where the voxels are: the same file, or one beside it.
        fields: what the header says.
        kind: which of the two it is.
        pixel_type: in SimpleITK's words.
        shape: (slices, rows, columns), which must have been found to be of a sane size.

    Raises:
        DamagedVolumeError: not exactly as many voxels as the header says, or no whole stream.
    """
    if pixel_type not in DTYPES or fields.get("headersize", "0") != "0":
        raise DamagedVolumeError
    big_endian = fields.get("endian", "").lower() == "big" or any(
        _says_yes(fields.get(name, "")) for name in ORDER_FIELDS
    )
    dtype = np.dtype((">" if big_endian else "<") + DTYPES[pixel_type])
    content = pixels.read_bytes()[_header_bytes(file, kind) if pixels == file else 0 :]
    return np.frombuffer(_unpacked(content, int(np.prod(shape)) * dtype.itemsize), dtype).reshape(
        shape
    )


def check_raw_size(
    file: Path, pixels: Path, fields: Mapping[str, str], kind: SourceKind, stated_bytes: int
) -> None:
    """StudyError for more raw voxels than the header states: it is that of another volume.

    Where the header says that something else stands before the voxels, nothing is known.
    """
    is_raw = fields.get("encoding", "raw").lower() == "raw"
    if not is_raw or any(fields.get(name, "0") != "0" for name in ("headersize", *SKIP_FIELDS)):
        return
    stored = pixels.stat().st_size - (_header_bytes(file, kind) if pixels == file else 0)
    if stored > stated_bytes:
        raise StudyError(
            f"The volume holds {stored} bytes of voxels, where its header states {stated_bytes}: "
            "it may be the header of another volume; convert the study again."
        )


def _header_bytes(file: Path, kind: SourceKind) -> int:
    with file.open("rb") as stream:
        last = HEADER_END[kind].search(stream.read(HEADER_BYTES))
    if last is None:
        raise DamagedVolumeError
    return last.end()


def _unpacked(packed: bytes, size: int) -> bytes:
    """Exactly `size` bytes, and no more memory than that."""
    stream = zlib.decompressobj(ZLIB_OR_GZIP)
    try:
        content = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise DamagedVolumeError from error
    if len(content) != size or not stream.eof:  # the end holds the checksum
        raise DamagedVolumeError
    return content


def _says_yes(word: str) -> bool:
    return word[:1].lower() in ("t", "1")
