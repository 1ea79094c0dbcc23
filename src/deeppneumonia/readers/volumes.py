"""NIfTI, MHA and NRRD volumes: one CT in Hounsfield units, brought into standard display."""

import hashlib
import struct
import zlib
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
from deeppneumonia.readers.gate import Lease, UnsafeInputError, check_voxels

IMAGE_IO = {
    SourceKind.NIFTI: "NiftiImageIO",
    SourceKind.META_IMAGE: "MetaImageIO",
    SourceKind.NRRD: "NrrdImageIO",
}
# The key under which a header names the file with its pixels.
DATA_FILE_KEYS = {
    SourceKind.META_IMAGE: ((b"elementdatafile",), b"="),
    SourceKind.NRRD: ((b"data file", b"datafile"), b":"),
}
CT_RANGE_HU = (-10_000, 40_000)
AIR_BELOW_HU = -500


@dataclass(frozen=True)
class LoadedSlices(ArraySource):
    """Slices in memory, and the unpacked file that they came from."""

    lease: Lease | None = None


def volume_file_study(file: Path, kind: SourceKind, ignored: tuple[str, ...]) -> Study:
    """The one volume of a file, from its header and a hash of its content."""
    reader = _open(file, kind)
    uid = _content_hash(file)
    columns, rows, slices = reader.GetSize()[:3]
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
        StudyError: not three axes, not a number, not HU, an affine that is singular or oblique,
            a damaged file.
    """
    reader = _open(file, kind)
    affine = _affine(reader, kind)
    turn = to_display(affine, reader.GetSize()[::-1])
    study = volume_file_study(file, kind, ignored)
    try:
        voxels = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _damaged() from error
    array = np.ascontiguousarray(turn.apply(_as_hu(voxels)))
    one = (QualityFlag("one_slice", "The volume has a single slice."),)
    return Volume(
        pixels=LoadedSlices(array, lease),
        unit=Unit.HU,
        affine=turn.affine,
        flags=one * (len(array) == 1),
        series=study.series[0],
        study=study,
    )


def _open(file: Path, kind: SourceKind) -> Any:
    """A SimpleITK reader that has read the header, and found it to be of a sane size."""
    if kind in DATA_FILE_KEYS:
        _check_data_file(file, kind)
    if kind is SourceKind.NIFTI:
        _check_nifti_header(file)
    toolkit: Any = SimpleITK  # has types, but none for its readers
    reader = toolkit.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[kind])
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged() from error
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise StudyError(
            f"The volume has {reader.GetDimension()} dimensions and "
            f"{reader.GetNumberOfComponents()} values a voxel, where 3 dimensions and one value "
            "are expected: export a single CT volume."
        )
    columns, rows, slices = reader.GetSize()
    check_voxels(slices, rows, columns)
    return reader


def _damaged() -> StudyError:
    return StudyError(
        "The volume file is damaged, truncated or not of the kind its name says: "
        "convert the study again."
    )


def _check_data_file(file: Path, kind: SourceKind) -> None:
    """A header may name its pixels' file, but only one that lies beside it."""
    keys, separator = DATA_FILE_KEYS[kind]
    with file.open("rb") as stream:
        start = stream.read(65536)
    for line in start.splitlines():
        name, found, value = line.partition(separator)
        if kind is SourceKind.NRRD and not line:
            return  # an empty line ends the header; what follows are pixels
        if not found or name.strip().lower() not in keys:
            continue
        target = value.strip().decode("latin-1")
        if target.upper() == "LOCAL":
            return
        if "/" in target or "\\" in target or "%" in target or target.upper().startswith("LIST"):
            raise UnsafeInputError(
                "The volume's header names pixels in another folder or in several files, where one "
                "file beside the header is expected: convert the study into one file."
            )
        if (file.parent / target).is_symlink() or not (file.parent / target).is_file():
            raise StudyError(
                "The file with the pixels, which the volume's header names, is not beside it: "
                "give both, or convert the study into one file."
            )
        return
    if kind is SourceKind.META_IMAGE:
        raise _damaged()


def _check_nifti_header(file: Path) -> None:
    """Refuse by name what the header's 348 bytes already show to be wrong."""
    header = _nifti_bytes(file)
    order = "<" if header[:4] == struct.pack("<i", 348) else ">"
    if len(header) < 348 or struct.unpack(order + "i", header[:4]) != (348,):
        raise _damaged()
    dims = struct.unpack(order + "8h", header[40:56])
    if dims[0] < 3 or any(size > 1 for size in dims[4 : dims[0] + 1]):
        raise StudyError(
            f"The NIfTI file has {dims[0]} dimensions, where one volume of 3 is expected: "
            "export a single CT volume."
        )
    check_voxels(dims[3], dims[2], dims[1])


def _nifti_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        start = stream.read(4096)
    if not start.startswith(b"\x1f\x8b"):
        return start[:348]
    try:
        return zlib.decompressobj(wbits=31).decompress(start, 348)
    except zlib.error as error:
        raise _damaged() from error


def _affine(reader: Any, kind: SourceKind) -> NDArray[np.float64]:
    """(4, 4) from array index (slice, row, column as stored) to LPS mm."""
    if kind is SourceKind.NIFTI:
        _check_nifti_affine(reader)
    if kind is SourceKind.NRRD and "NRRD_space" not in reader.GetMetaDataKeys():
        raise StudyError(
            "The NRRD file does not say how its axes lie in the patient (no space field), so left "
            "and right are unknown: convert the study again from DICOM."
        )
    direction = np.array(reader.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    # SimpleITK counts columns first, its arrays count slices first.
    affine[:3, :3] = (direction * np.array(reader.GetSpacing()))[:, ::-1]
    affine[:3, 3] = reader.GetOrigin()
    return affine


def _check_nifti_affine(reader: Any) -> None:
    """SimpleITK repairs broken NIfTI affines in silence; here they are refused."""
    meta = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    if int(meta.get("sform_code", 0)) <= 0 and int(meta.get("qform_code", 0)) <= 0:
        raise StudyError(
            "The NIfTI file does not say how its axes lie in the patient (sform and qform codes "
            "are 0), so left and right are unknown: convert the study again from DICOM."
        )
    if int(meta.get("sform_code", 0)) > 0:
        rows = [[float(value) for value in meta[f"srow_{axis}"].split()] for axis in "xyz"]
        to_display(np.vstack([*rows, [0, 0, 0, 1]])[:, [2, 1, 0, 3]], reader.GetSize()[::-1])


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


def _content_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
