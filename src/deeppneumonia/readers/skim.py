"""A usual DICOM header in a third of the time: the wanted elements, all others passed over.

What nearly every CT slice is, is read here: with a preamble, little endian, one picture.
Anything else gives None and is pydicom's to read; a test holds the two to the same headers.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deeppneumonia.readers.elements import TAGS

FIRST_BYTES, MOST_BYTES = 8192, 262_144
"""Read at first, and at most: headers have 2 to 20 kB, beside what vendors keep for themselves."""

PREAMBLE_BYTES = 132
TRANSFER_SYNTAX, CHARACTER_SET = 0x00020010, 0x00080005
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
MAX_DEPTH = 8
"""Of sequences of undefined length inside each other; scanners write two or three."""

NOT_HERE = {
    TAGS["SharedFunctionalGroupsSequence"],
    TAGS["PerFrameFunctionalGroupsSequence"],
    0xFFFEE00D,
}
"""Multi-frame images, and an end where nothing began."""

EVERY_SLICE_HAS = [TAGS[name] for name in ("Modality", "SeriesInstanceUID", "Rows", "Columns")]
WANTED = set(TAGS.values()) | {TRANSFER_SYNTAX, CHARACTER_SET}
PACKED_SYNTAXES = "1.2.840.10008.1.2.4."
"""JPEG, JPEG-LS and JPEG 2000 of all kinds: their headers are explicit, little endian."""

LONG_VRS = {
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"SV",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"UV",
}
SHORT_VRS = {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
}  # fmt: skip
"""PS3.5 table 7.1-1 and 7.1-2."""

_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHL").unpack_from
_length = struct.Struct("<L").unpack_from


@dataclass(frozen=True, slots=True)
class Element:
    """One value as it stands in the file."""

    value: bytes
    is_little_endian: bool = True


class Skimmed(dict[int, Element]):
    """Elements by tag, to be asked as a pydicom Dataset is."""

    def __init__(self) -> None:
        super().__init__()
        self.file_meta: dict[str, str] = {}

    def get_item(self, tag: int) -> Element:
        """The element with this tag, which must be there."""
        return self[tag]


def skim(file: Path) -> Skimmed | None:
    """The wanted elements up to the pixels; None for a file that is not of the usual kind.

    Raises:
        OSError: it cannot be opened.
    """
    with file.open("rb", buffering=0) as stream:
        start = stream.read(FIRST_BYTES)
        try:
            return _in(start)
        except struct.error:  # it goes on behind these bytes
            start += stream.read(MOST_BYTES)
    try:
        return _in(start)
    except struct.error:
        return None


def _in(start: bytes) -> Skimmed | None:
    """The elements at the start of a file; struct.error where it ends too soon."""
    if start[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        return None
    found = Skimmed()
    try:
        at = _note(start, PREAMBLE_BYTES, found, explicit=True, group=2)
        syntax = found[TRANSFER_SYNTAX].value.rstrip(b" \0").decode("ascii")
        explicit = syntax == ExplicitVRLittleEndian or syntax.startswith(PACKED_SYNTAXES)
        if not explicit and syntax != ImplicitVRLittleEndian:
            return None
        if (start[at + 4 : at + 6].isalpha() and start[at + 4 : at + 6].isupper()) != explicit:
            return None  # the file is written in another way than it says
        _note(start, at, found, explicit=explicit)
    except (_Unusual, KeyError, UnicodeDecodeError):
        return None
    found.file_meta["TransferSyntaxUID"] = syntax
    return found if all(tag in found and found[tag].value for tag in EVERY_SLICE_HAS) else None


class _Unusual(Exception):  # noqa: N818  (no error: pydicom reads it)
    """Something that is not read here, be it right or wrong."""


def _note(start: bytes, at: int, found: Skimmed, *, explicit: bool, group: int = 0) -> int:
    """Note the wanted elements; returns where the pixels begin, or what is not of the group."""
    while True:
        if group and _implicit(start, at)[0] != group:
            return at
        began = at
        tag, vr, length, at = _element(start, at, explicit)
        if tag in PIXELS:
            return began
        if tag in NOT_HERE or tag >> 16 == 0:
            raise _Unusual
        if tag in WANTED:
            if length == UNDEFINED:
                raise _Unusual
            found[tag] = Element(start[at : at + length])
        is_plain = length != UNDEFINED and tag != CHARACTER_SET
        at = at + length if is_plain else _past(start, at, tag, vr, length, depth=0)


def _element(start: bytes, at: int, explicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR (blank where it is not written), length, and where the value begins."""
    if not explicit:
        group, element, length = _implicit(start, at)
        return group << 16 | element, b"", length, at + 8
    group, element, vr, length = _explicit(start, at)
    at += 8
    if vr in LONG_VRS:
        (length,) = _length(start, at)
        at += 4
    elif vr not in SHORT_VRS:
        raise _Unusual
    return group << 16 | element, vr, length, at


def _past(start: bytes, at: int, tag: int, vr: bytes, length: int, *, depth: int) -> int:
    """Where the next element begins."""
    if length != UNDEFINED:
        if tag == CHARACTER_SET:
            names = start[at : at + length].decode("latin-1").split("\\")
            if any(name.strip(" \0") not in python_encoding for name in names):
                raise _Unusual
        return at + length
    explicit = bool(vr)
    if not explicit and (not dictionary_has_tag(tag) or dictionary_VR(tag) == "SQ"):
        vr = b"SQ"
    if vr != b"SQ" or depth == MAX_DEPTH:
        raise _Unusual
    while True:
        group, element, length = _implicit(start, at)
        at += 8
        if (group, element, length) == (*SEQUENCE_END, 0):
            return at
        if (group, element) != ITEM:
            raise _Unusual
        at = _past_item(start, at, length, explicit, depth + 1)


def _past_item(start: bytes, at: int, length: int, explicit: bool, depth: int) -> int:
    """Past the elements of one item, however its end is told."""
    end = at + length
    while length == UNDEFINED or at < end:
        if length == UNDEFINED and _implicit(start, at) == (*ITEM_END, 0):
            return at + 8
        tag, vr, size, at = _element(start, at, explicit)
        if tag >> 16 == ITEM[0]:
            raise _Unusual
        at = _past(start, at, tag, vr, size, depth=depth)
    if at != end:
        raise _Unusual
    return at
