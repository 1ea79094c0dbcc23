"""What MetaImage and NRRD headers say in plain text, where the toolkit fills in what is missing.

SimpleITK takes a voxel without a stated size for 1 mm, any unit for mm and any space for the
patient's, without a word. Sources: MetaIO's documentation; the NRRD format definition (teem).
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.study import SourceKind
from deeppneumonia.errors import StudyError
from deeppneumonia.files import sha256_of
from deeppneumonia.readers.limits import UnsafeInputError

HEADER_BYTES = 65536
"""No header of these formats is longer."""

HEADER_SUFFIXES = {
    ".mha": SourceKind.META_IMAGE,
    ".mhd": SourceKind.META_IMAGE,
    ".nrrd": SourceKind.NRRD,
    ".nhdr": SourceKind.NRRD,
}
SEPARATORS = {SourceKind.META_IMAGE: "=", SourceKind.NRRD: ":"}
SIZE_FIELDS = {
    SourceKind.META_IMAGE: ("elementspacing", "elementsize"),
    SourceKind.NRRD: ("space directions",),
}
RESCALE_FIELDS = {"elementtointensityfunctionslope": 1.0, "elementtointensityfunctionoffset": 0.0}
"""Of a MetaImage, with the values that change nothing. SimpleITK passes over any others."""

PIXEL_FIELDS = {
    SourceKind.META_IMAGE: ("elementdatafile",),
    SourceKind.NRRD: ("data file", "datafile"),
}
"""The fields that name the file with the pixels."""

PATIENT_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior",
    "las",
}  # fmt: skip

ENCODINGS = {"raw", "gzip", "gz", "ascii", "text", "txt", "hex"}
"""Of an NRRD, those that are read here or by the toolkit."""

EXTENT_MM = (60.0, 2500.0)
"""Longest side of a volume of a chest: a newborn's field of view is above 60 mm, and a scanner's
table moves by less than 2.5 m. Outside, the sizes are in another unit."""


class DamagedVolumeError(StudyError):
    """A volume file is truncated, damaged, or not what its name says."""

    def __init__(self) -> None:
        super().__init__(
            "The volume file is damaged, truncated or not of the kind its name says: "
            "convert the study again."
        )


def header_fields(file: Path, kind: SourceKind) -> dict[str, str]:
    """The fields of a MetaImage or NRRD header by their names in small letters."""
    with file.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    for line in start.splitlines():
        if kind is SourceKind.NRRD and not line:
            break  # an empty line ends the header; what follows are pixels
        name, found, value = line.decode("latin-1").partition(SEPARATORS[kind])
        if found and not line.startswith(b"#"):
            fields.setdefault(name.strip().lower(), value.strip(" =\t"))
        if name.strip().lower() == "elementdatafile":
            break  # the last field of a MetaImage, by definition
    return fields


def pixel_file(file: Path, kind: SourceKind) -> Path:
    """Where the pixels are: in the file itself, or in one beside it that its header names.

    Raises:
        DamagedVolumeError: the header names none.
        UnsafeInputError: the header names a file elsewhere.
        StudyError: the named file is missing.
    """
    fields = header_fields(file, kind)
    target = next((fields[name] for name in PIXEL_FIELDS[kind] if name in fields), "")
    if target.upper() == "LOCAL" or (kind is SourceKind.NRRD and fields and not target):
        return file
    if not target:
        raise DamagedVolumeError
    if "/" in target or "\\" in target or "%" in target or target.upper().startswith("LIST"):
        raise UnsafeInputError(
            "The volume's header names pixels in another folder or in several files, where one "
            "file beside the header is expected: convert the study into one file."
        )
    pixels = file.parent / target
    if pixels.is_symlink() or not pixels.is_file():
        raise StudyError(
            "The file with the pixels, which the volume's header names, is not beside it: "
            "give both, or convert the study into one file."
        )
    return pixels


def sha256_with_pixels(path: Path) -> str:
    """The hash of a file; of a header together with the file beside it that holds its pixels.

    A header that cannot be read, or names what must not be read, counts alone.
    """
    kind = HEADER_SUFFIXES.get(path.suffix.lower())
    try:
        pixels = pixel_file(path, kind) if kind else path
    except StudyError:
        pixels = path
    if pixels == path:
        return sha256_of(path)
    return hashlib.sha256(f"{sha256_of(path)}{sha256_of(pixels)}".encode()).hexdigest()


def check_fields(fields: dict[str, str], kind: SourceKind) -> None:
    """StudyError unless size, unit, space and packing of the voxels are ones that we know."""
    if kind is SourceKind.NRRD:
        _check_space(fields.get("space", "").lower())
    _check_packing(fields)
    if not any(fields.get(name) for name in SIZE_FIELDS[kind]):
        raise StudyError(
            f"The volume's header does not say how large its voxels are (no "
            f"{SIZE_FIELDS[kind][0]}): convert the study again from DICOM."
        )
    if any(_is_no_length(word) for word in fields.get("elementspacing", "").split()):
        raise StudyError(
            "The volume's header states a voxel size that is no length (zero, negative or not a "
            "number): convert the study again from DICOM."
        )
    if any(not _is(value, fields.get(name, value)) for name, value in RESCALE_FIELDS.items()):
        raise StudyError(
            "The volume's header states a slope or an offset for its values "
            "(ElementToIntensityFunction), which programs take or leave: convert the study again, "
            "with Hounsfield units stored as they are."
        )
    units = {word for word in fields.get("space units", "").replace('"', " ").split()}
    if not units <= {"mm", "millimeter", "millimeters"}:
        raise StudyError(
            f"The volume's sizes are given in other units ({', '.join(sorted(units))[:40]}), where "
            "millimetres are expected: convert the study again."
        )


def _is_no_length(word: str) -> bool:
    try:
        return not float(word) > 0
    except ValueError:
        return True


def _is(value: float, word: str | float) -> bool:
    try:
        return float(word) == value
    except ValueError:
        return False


def _check_space(space: str) -> None:
    if not space:
        raise StudyError(
            "The NRRD file does not say how its axes lie in the patient (no space field), so left "
            "and right are unknown: convert the study again from DICOM."
        )
    if space not in PATIENT_SPACES:
        raise StudyError(
            f"The NRRD file places its axes in {space[:40]}, which is no space of the patient: "
            "convert the study again from DICOM, to left-posterior-superior."
        )


def _check_packing(fields: dict[str, str]) -> None:
    is_text = fields.get("binarydata", "true").lower() in ("false", "0")
    encoding = "text" if is_text else fields.get("encoding", "raw").lower()
    if is_text or encoding not in ENCODINGS:
        raise StudyError(
            f"The volume's voxels are stored as {encoding[:40]}, which is not read here: save it "
            "again, unpacked or packed with gzip."
        )


def check_extent(affine: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """StudyError for (4, 4) affines that make a volume of a shape no chest has: wrong units."""
    longest_mm = float((np.linalg.norm(affine[:3, :3], axis=0) * shape).max())
    if not EXTENT_MM[0] <= longest_mm <= EXTENT_MM[1]:
        raise StudyError(
            f"The volume's longest side would be {longest_mm:.4g} mm, where a chest has "
            f"{EXTENT_MM[0]:.0f} to {EXTENT_MM[1]:.0f} mm: the sizes seem to be in other units; "
            "convert the study again."
        )
