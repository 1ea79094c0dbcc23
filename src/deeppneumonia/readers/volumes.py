"""NIfTI, MHA and NRRD volumes: one CT in Hounsfield units, brought into standard display."""

from collections.abc import Iterator
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
from deeppneumonia.readers.gate import Lease
from deeppneumonia.readers.limits import check_growth, check_voxels
from deeppneumonia.readers.nifti import read_nifti_header, read_nifti_voxels
from deeppneumonia.readers.packed import DTYPES, check_raw_size, is_packed, packed_voxels
from deeppneumonia.readers.text_headers import (
    DamagedVolumeError,
    check_extent,
    check_fields,
    header_fields,
    pixel_file,
    sha256_with_pixels,
)

IMAGE_IO = {
    SourceKind.META_IMAGE: "MetaImageIO",
    SourceKind.NRRD: "NrrdImageIO",
}

CT_RANGE_HU = (-10_000, 40_000)
AIR_BELOW_HU = -500


@dataclass(frozen=True)
class LoadedSlices(ArraySource):
    """Slices in memory, and the unpacked file that they came from."""

    lease: Lease | None = None


def volume_file_study(file: Path, kind: SourceKind, ignored: tuple[str, ...]) -> Study:
    """The one volume of a file, from its header and a hash of its content."""
    _, shape = _geometry(file, kind)
    return _study_of(file, kind, shape, ignored)


def _study_of(
    file: Path, kind: SourceKind, shape: tuple[int, int, int], ignored: tuple[str, ...]
) -> Study:
    slices, rows, columns = shape
    uid = sha256_with_pixels(file)
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
    study = _study_of(file, kind, shape, ignored)
    array = np.ascontiguousarray(turn.apply(_as_hu(*_voxels(file, kind))))
    check_extent(affine, shape)
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


def _voxels(file: Path, kind: SourceKind) -> tuple[NDArray[Any], float, float]:
    """Stored values (slices, rows, columns), with the slope and intercept that rescale them."""
    if kind is SourceKind.NIFTI:
        header = read_nifti_header(file)
        return read_nifti_voxels(file, header), header.slope, header.intercept
    toolkit: Any = SimpleITK
    reader = _open(file, kind)
    fields = header_fields(file, kind)
    pixel_type = toolkit.GetPixelIDValueAsString(reader.GetPixelID())
    shape = reader.GetSize()[::-1]
    pixels = pixel_file(file, kind)
    if is_packed(fields, kind):
        return packed_voxels(file, pixels, fields, kind, pixel_type, shape), 1.0, 0.0
    if pixel_type in DTYPES:
        stated = int(np.prod(shape)) * np.dtype(DTYPES[pixel_type]).itemsize
        check_raw_size(file, pixels, fields, kind, stated)
    try:
        voxels: NDArray[Any] = toolkit.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise DamagedVolumeError from error
    return voxels, 1.0, 0.0


def _open(file: Path, kind: SourceKind) -> Any:
    """A SimpleITK reader that has read the header, and found it to be of a sane size."""
    packed_bytes = pixel_file(file, kind).stat().st_size
    check_fields(header_fields(file, kind), kind)
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
    columns, rows, slices = reader.GetSize()
    check_voxels(slices, rows, columns)
    dtype = DTYPES.get(toolkit.GetPixelIDValueAsString(reader.GetPixelID()), "f8")
    voxel_bytes = np.dtype(dtype).itemsize
    check_growth(packed_bytes, slices * rows * columns * voxel_bytes)
    return reader


def _as_hu(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Voxels as int16, or float32 where fractional; StudyError unless they look like CT in HU.

    Works plane by plane, because a whole volume in float64 takes gigabytes.
    """
    low, high, is_whole = np.inf, -np.inf, True
    for plane in _rescaled(stored, slope, intercept):
        if not np.isfinite(plane).all():
            raise StudyError(
                "The volume holds values that are not numbers (NaN or infinite), where Hounsfield "
                "units are expected: convert the study again."
            )
        low, high = min(low, float(plane.min())), max(high, float(plane.max()))
        if plane.dtype.kind == "f" and is_whole:
            shown = np.maximum(plane, FLOOR_HU)
            is_whole = np.array_equal(shown, shown.round())
    if not (CT_RANGE_HU[0] <= low < AIR_BELOW_HU and low < high <= CT_RANGE_HU[1]):
        raise StudyError(
            f"The values run from {low:g} to {high:g}, where Hounsfield units of a chest are "
            "expected (air is -1000): convert the study without rescaling its values."
        )
    hu = np.empty(stored.shape, np.int16 if is_whole else np.float32)
    for index, plane in enumerate(_rescaled(stored, slope, intercept)):
        hu[index] = plane.clip(FLOOR_HU, np.iinfo(np.int16).max if is_whole else None)
    return hu


def _rescaled(stored: NDArray[Any], slope: float, intercept: float) -> Iterator[NDArray[Any]]:
    """The planes of a volume, in float64 where they are rescaled."""
    as_stored = (slope, intercept) == (1.0, 0.0)
    return (plane if as_stored else plane * slope + intercept for plane in stored)
