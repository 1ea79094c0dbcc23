"""NIfTI, MHA and NRRD volumes: one CT in Hounsfield units, brought into standard display."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from deeppneumonia.domain.study import Series, SourceKind, Study
from deeppneumonia.domain.volume import ArraySource, QualityFlag, Unit, Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.decode import FLOOR_HU
from deeppneumonia.readers.display import to_display
from deeppneumonia.readers.gate import Lease, UnsafeInputError, check_growth, check_voxels
from deeppneumonia.readers.nifti import DamagedVolumeError, read_nifti_header, read_nifti_voxels

BYTES_A_VOXEL = {
    "8-bit signed integer": 1,
    "8-bit unsigned integer": 1,
    "16-bit signed integer": 2,
    "16-bit unsigned integer": 2,
    "32-bit signed integer": 4,
    "32-bit unsigned integer": 4,
    "32-bit float": 4,
}
"""By SimpleITK's words for a pixel type; 8 for all others."""

IMAGE_IO = {
    SourceKind.META_IMAGE: "MetaImageIO",
    SourceKind.NRRD: "NrrdImageIO",
}
# The key under which a header names the file with its pixels.
DATA_FILE_KEYS = {
    SourceKind.META_IMAGE: ((b"elementdatafile",), b"="),
    SourceKind.NRRD: ((b"data file", b"datafile"), b":"),
}
HEADER_BYTES = 65536
"""No header of these formats is longer."""

CT_RANGE_HU = (-10_000, 40_000)
AIR_BELOW_HU = -500


@dataclass(frozen=True)
class LoadedSlices(ArraySource):
    """Slices in memory, and the unpacked file that they came from."""

    lease: Lease | None = None


def volume_file_study(file: Path, kind: SourceKind, ignored: tuple[str, ...]) -> Study:
    """The one volume of a file, from its header and a hash of its content."""
    _, (slices, rows, columns) = _geometry(file, kind)
    with file.open("rb") as stream:
        uid = hashlib.file_digest(stream, "sha256").hexdigest()
    series = Series(
        uid=uid,
        modality="OT",
        files=(file,),
        description=f"{columns} x {rows} x {slices} voxels",
        chosen_because="The file holds one volume.",
    )
    return Study(uid=uid, kind=kind, series=(series,), ignored=ignored)


def volume_file_volume(
    file: Path, kind: SourceKind, ignored: tuple[str, ...], lease: Lease | None
) -> Volume:
    """The volume of a file in HU; its pixels are read at once, because compression asks for it.

    Raises:
        StudyError: not three axes, not a number, not HU, an affine that is singular or sheared,
            a damaged file.
    """
    affine, shape = _geometry(file, kind)
    turn = to_display(affine, shape)
    study = volume_file_study(file, kind, ignored)
    array = np.ascontiguousarray(turn.apply(_as_hu(_voxels(file, kind))))
    one = (QualityFlag("one_slice", "The volume has a single slice."),)
    return Volume(
        pixels=LoadedSlices(array, lease),
        unit=Unit.HU,
        affine=turn.affine,
        flags=turn.flags + one * (len(array) == 1),
        series=study.series[0],
        study=study,
    )


def _geometry(file: Path, kind: SourceKind) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """(4, 4) from array index (as stored) to LPS mm, and the shape of that array."""
    if kind is SourceKind.NIFTI:
        header = read_nifti_header(file)
        return header.affine, header.shape
    reader = _open(file, kind)
    direction = np.array(reader.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    # SimpleITK counts columns first, its arrays count slices first.
    affine[:3, :3] = (direction * np.array(reader.GetSpacing()))[:, ::-1]
    affine[:3, 3] = reader.GetOrigin()
    columns, rows, slices = reader.GetSize()
    return affine, (slices, rows, columns)


def _voxels(file: Path, kind: SourceKind) -> NDArray[Any]:
    if kind is SourceKind.NIFTI:
        return read_nifti_voxels(file, read_nifti_header(file))
    toolkit: Any = SimpleITK
    try:
        voxels: NDArray[Any] = toolkit.GetArrayFromImage(_open(file, kind).Execute())
    except RuntimeError as error:
        raise DamagedVolumeError from error
    return voxels


def _open(file: Path, kind: SourceKind) -> Any:
    """A SimpleITK reader that has read the header, and found it to be of a sane size."""
    packed_bytes = _pixel_file(file, kind).stat().st_size
    toolkit: Any = SimpleITK  # has types, but none for its readers
    reader = toolkit.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[kind])
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DamagedVolumeError from error
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise StudyError(
            f"The volume has {reader.GetDimension()} dimensions and "
            f"{reader.GetNumberOfComponents()} values a voxel, where 3 dimensions and one value "
            "are expected: export a single CT volume."
        )
    if kind is SourceKind.NRRD and "NRRD_space" not in reader.GetMetaDataKeys():
        raise StudyError(
            "The NRRD file does not say how its axes lie in the patient (no space field), so left "
            "and right are unknown: convert the study again from DICOM."
        )
    columns, rows, slices = reader.GetSize()
    check_voxels(slices, rows, columns)
    voxel_bytes = BYTES_A_VOXEL.get(toolkit.GetPixelIDValueAsString(reader.GetPixelID()), 8)
    check_growth(packed_bytes, slices * rows * columns * voxel_bytes)
    return reader


def _pixel_file(file: Path, kind: SourceKind) -> Path:
    """Where the pixels are: in the file itself, or in one beside it that its header names.

    Raises:
        UnsafeInputError: the header names a file elsewhere.
        StudyError: the named file is missing.
    """
    target = _named_pixel_file(file, kind)
    if target.upper() == "LOCAL":
        return file
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


def _named_pixel_file(file: Path, kind: SourceKind) -> str:
    """The name that a header gives; `LOCAL` for pixels in the same file."""
    keys, separator = DATA_FILE_KEYS[kind]
    with file.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    for line in start.splitlines():
        if kind is SourceKind.NRRD and not line:
            return "LOCAL"  # an empty line ends the header; what follows are pixels
        name, found, value = line.partition(separator)
        if found and name.strip().lower() in keys:
            return value.strip().decode("latin-1")
    raise DamagedVolumeError


def _as_hu(voxels: NDArray[Any]) -> NDArray[Any]:
    """Voxels as int16, or float32 where fractional; StudyError unless they look like CT in HU."""
    if not np.isfinite(voxels).all():
        raise StudyError(
            "The volume holds values that are not numbers (NaN or infinite), where Hounsfield "
            "units are expected: convert the study again."
        )
    low, high = float(voxels.min()), float(voxels.max())
    if not (CT_RANGE_HU[0] <= low < AIR_BELOW_HU and low < high <= CT_RANGE_HU[1]):
        raise StudyError(
            f"The values run from {low:g} to {high:g}, where Hounsfield units of a chest are "
            "expected (air is -1000): convert the study without rescaling its values."
        )
    hu = np.maximum(voxels, FLOOR_HU)
    if hu.dtype.kind == "f" and not np.array_equal(hu, np.round(hu)):
        fractional: NDArray[Any] = hu.astype(np.float32)
        return fractional
    whole: NDArray[Any] = hu.clip(FLOOR_HU, np.iinfo(np.int16).max).astype(np.int16)
    return whole
