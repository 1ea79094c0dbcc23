"""PNG and JPEG slices of one patient: grey levels without place, size or Hounsfield units."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.study import Series, SourceKind, Study
from deeppneumonia.domain.volume import QualityFlag, Unit, Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.files import natural_order
from deeppneumonia.readers.gate import Lease
from deeppneumonia.readers.limits import check_voxels

GREY_SPREAD = 16
"""Largest difference between the channels of a grey pixel after JPEG."""

MAX_COLOUR_SHARE = 0.001
"""Share of pixels that may be coloured; more is a colour picture."""

JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

ANIMATION_BYTES = 4096
"""The animation chunk stands before the pixels (APNG 1.0), so near the beginning."""

NO_GEOMETRY = QualityFlag(
    "no_geometry",
    "Pictures do not say where in the patient they lie: order by name, sizes unknown.",
)


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What the header of a picture promises."""

    rows: int
    columns: int
    bits: int


@dataclass(frozen=True)
class PictureSlices:
    """The pixels of a folder of pictures; nothing is kept in memory."""

    files: tuple[Path, ...]
    size: tuple[int, int]
    lease: Lease | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.files), *self.size

    def read(self, index: int) -> NDArray[np.uint8]:
        """Picture `index` as grey levels; StudyError when it is damaged or coloured."""
        number = f"Picture {index + 1} (in the order of names)"
        content = np.frombuffer(self.files[index].read_bytes(), np.uint8)
        try:
            picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise StudyError(f"{number} is damaged: export it again.") from error
        if picture is None or picture.shape[:2] != self.size:
            raise StudyError(f"{number} is damaged and cannot be decoded: export it again.")
        return _grey(picture, number)


def picture_study(files: Sequence[Path], ignored: tuple[str, ...]) -> Study:
    """The study that these pictures make; reads headers and a hash of the content.

    Raises:
        StudyError: pictures in several folders, damaged ones, or ones of different size.
    """
    ordered = in_natural_order(files)
    _common_size(ordered)
    return _study_of(ordered, ignored)


def _study_of(ordered: tuple[Path, ...], ignored: tuple[str, ...]) -> Study:
    uid = _content_hash(ordered)
    description = "1 picture" if len(ordered) == 1 else f"{len(ordered)} pictures"
    series = Series(uid=uid, modality="OT", files=ordered, description=description)
    return Study(uid=uid, kind=SourceKind.PICTURES, series=(series,), ignored=ignored)


def picture_volume(files: Sequence[Path], ignored: tuple[str, ...], lease: Lease | None) -> Volume:
    """Pictures as a GREY volume in the natural order of their names; decoded when asked for."""
    ordered = in_natural_order(files)
    size = _common_size(ordered)
    study = _study_of(ordered, ignored)
    check_voxels(len(ordered), *size)
    one = (QualityFlag("one_slice", "The study is a single slice."),)
    return Volume(
        pixels=PictureSlices(ordered, size, lease),
        unit=Unit.GREY,
        has_geometry=False,
        flags=(NO_GEOMETRY,) + one * (len(ordered) == 1),
        series=replace(study.series[0], chosen_because="Pictures make one series."),
        study=study,
    )


def in_natural_order(files: Sequence[Path]) -> tuple[Path, ...]:
    """Sorted as a person would: slice 2 before slice 10; StudyError for several folders."""
    if len({file.parent for file in files}) > 1:
        raise StudyError(
            f"The pictures lie in {len({file.parent for file in files})} folders, where one folder "
            "with the slices of one patient is expected: give one folder."
        )
    return tuple(sorted(files, key=lambda file: natural_order(file.name)))


def _common_size(files: Sequence[Path]) -> tuple[int, int]:
    """(rows, columns) of all pictures; refuses what cannot be 8-bit slices of one size."""
    headers = [_read_header(file, number) for number, file in enumerate(files, start=1)]
    sizes = Counter((h.rows, h.columns) for h in headers)
    if len(sizes) > 1:
        found = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes)[:4])
        raise StudyError(
            f"The pictures have {len(sizes)} different sizes ({found}), where the slices of one "
            "series have one size: give the slices of one series."
        )
    return next(iter(sizes))


def _read_header(file: Path, number: int) -> PictureHeader:
    content = file.read_bytes()
    is_png = content.startswith(b"\x89PNG")
    header = _png_header(content) if is_png else _jpeg_header(content)
    if header is None:
        raise StudyError(
            f"Picture {number} (in the order of names) is truncated or damaged: export it again."
        )
    if is_png and b"acTL" in content[:ANIMATION_BYTES]:
        raise StudyError(
            f"Picture {number} (in the order of names) is animated, where one file holds one "
            "slice: export each slice as a picture of its own."
        )
    if header.bits != 8:
        raise StudyError(
            f"Picture {number} (in the order of names) has {header.bits} bits a channel, where "
            "8-bit grey levels are expected: give DICOM or NIfTI, which keep Hounsfield units, or "
            "8-bit pictures in a lung window."
        )
    check_voxels(1, header.rows, header.columns)
    return header


def _png_header(content: bytes) -> PictureHeader | None:
    """From the IHDR chunk; None unless the file also ends with its last chunk."""
    if content[12:16] != b"IHDR" or b"IEND\xaeB`\x82" not in content[-1024:]:
        return None
    columns, rows = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    # Below 8 bits PNG holds few grey levels or a palette; both decode to 8.
    return PictureHeader(rows, columns, max(8, content[24]))


def _jpeg_header(content: bytes) -> PictureHeader | None:
    """From the frame header (ITU-T T.81 B.2.2); None unless the file also has its end marker."""
    if b"\xff\xd9" not in content[-1024:]:
        return None
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in JPEG_FRAMES:
            rows, columns = (int.from_bytes(content[at + k : at + k + 2], "big") for k in (5, 7))
            return PictureHeader(rows, columns, content[at + 4])
        at += (
            2
            if marker in JPEG_WITHOUT_LENGTH
            else 1
            if marker == 0xFF
            else (2 + int.from_bytes(content[at + 2 : at + 4], "big"))
        )
    return None


def _grey(picture: NDArray[Any], number: str) -> NDArray[np.uint8]:
    """One channel of a picture whose channels agree; StudyError for colours."""
    if picture.ndim == 2:
        return picture
    colours = picture[..., :3]
    if picture.shape[2] == 4 and picture[..., 3].min() < 255:
        raise StudyError(f"{number} is partly transparent: give plain grey slices.")
    blue, green, red = cv2.split(np.ascontiguousarray(colours))
    spread = cv2.max(cv2.max(blue, green), red) - cv2.min(cv2.min(blue, green), red)
    if (spread > GREY_SPREAD).mean() > MAX_COLOUR_SHARE:
        raise StudyError(
            f"{number} is a colour picture, where grey CT slices are expected: "
            "give slices without overlays or colour maps."
        )
    return cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_BGR2GRAY).astype(np.uint8)


def _content_hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
