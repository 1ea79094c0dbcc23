"""NIfTI, MHA and NRRD: the same volume as from DICOM, or a refusal by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from ramp_ct import chest, grid, ramp, save

from deeppneumonia.domain import SourceKind
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import (
    NotAxialError,
    UnsafeInputError,
    read_study,
    read_volume,
)

SPACING = (1.0, 2.0, 3.0)


def image_of(flips=(False, False, False), dtype=np.int16):
    """The ramp with SimpleITK's own geometry; a flip turns an axis round in index and space."""
    size, origin = np.array([48, 40, 12]), np.array([-10.0, -20.0, -30.0])
    signs = np.where(flips, -1.0, 1.0)
    start = np.where(flips, origin + (size - 1) * SPACING, origin)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs * SPACING)[:, ::-1]
    affine[:3, 3] = start
    image = SimpleITK.GetImageFromArray(ramp(grid(affine, (12, 40, 48))).astype(dtype))
    image.SetSpacing(SPACING)
    image.SetOrigin(start.tolist())
    image.SetDirection(np.diag(signs).ravel().tolist())
    return image


def write(image, file: Path) -> Path:
    SimpleITK.WriteImage(image, str(file))
    return file


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ct.nii.gz", SourceKind.NIFTI),
        ("ct.nii", SourceKind.NIFTI),
        ("ct.mha", SourceKind.META_IMAGE),
        ("ct.mhd", SourceKind.META_IMAGE),
        ("ct.nrrd", SourceKind.NRRD),
        ("ct.nhdr", SourceKind.NRRD),
    ],
)
def test_each_format_gives_the_volume_that_dicom_gives(tmp_path, shows_the_ramp, name, kind):
    dicom = read_volume(save(chest(), tmp_path / "dicom"))
    volume = read_volume(write(image_of(), tmp_path / name))
    shows_the_ramp(volume)
    assert volume.study.kind is kind
    np.testing.assert_array_equal(volume.array, dicom.array)
    np.testing.assert_allclose(volume.affine, dicom.affine, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("flips", [(1, 1, 0), (0, 0, 1), (1, 0, 1)], ids=str)
def test_axes_and_types_of_any_kind_end_in_standard_display(tmp_path, shows_the_ramp, flips, dtype):
    volume = read_volume(write(image_of(flips, dtype), tmp_path / "ct.nii.gz"))
    shows_the_ramp(volume)
    assert volume.array.dtype == np.int16


def test_a_volume_in_a_folder_is_known_by_its_content_hash(tmp_path):
    write(image_of(), tmp_path / "Jane Doe.nii.gz")
    (tmp_path / "notes.txt").write_text("x")
    study = read_study(tmp_path)
    assert len(study.uid) == 64 and study.ignored == ("other files: 1",)
    assert "Jane" not in study.series[0].description


def refused(file, match, error=StudyError):
    with pytest.raises(error, match=match):
        read_volume(file)


def test_grey_volumes_are_not_hounsfield_units(tmp_path):
    grey = SimpleITK.GetImageFromArray(np.arange(12 * 40 * 48).reshape(12, 40, 48) % 256)
    refused(write(SimpleITK.Cast(grey, SimpleITK.sitkUInt8), tmp_path / "a.mha"), "from 0 to 255")


def test_vectors_are_refused(tmp_path):
    vector = SimpleITK.Compose([image_of()] * 3)
    refused(write(vector, tmp_path / "c.mha"), "3 values a voxel")


def patched_nifti(file, srow=None, codes=(1, 1), dims=None):
    write(image_of(), file)
    content = bytearray(file.read_bytes())
    content[252:256] = np.array(codes, "<i2").tobytes()
    if srow is not None:
        content[280:328] = np.array(srow, "<f4").tobytes()
    if dims is not None:
        content[40:56] = np.array(dims, "<i2").tobytes()
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 1, 0), (1, 0, 0), (0, 1, 1)], ids=str)
def test_a_qform_places_the_volume_where_there_is_no_sform(tmp_path, shows_the_ramp, flips):
    write(image_of(flips), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[252:256] = np.array([1, 0], "<i2").tobytes()
    content[280:328] = bytes(48)
    (tmp_path / "a.nii").write_bytes(content)
    shows_the_ramp(read_volume(tmp_path / "a.nii"))


def test_a_nifti_affine_turned_half_way_is_refused(tmp_path):
    turned = [[0.7071, -1.4142, 0, 0], [0.7071, 1.4142, 0, 0], [0, 0, 3, 0]]
    refused(patched_nifti(tmp_path / "a.nii", turned, (0, 1)), "45 degrees", NotAxialError)


def test_a_small_file_that_promises_a_huge_volume_is_refused_before_it_is_read(tmp_path):
    plain = patched_nifti(tmp_path / "a.nii", dims=(3, 30000, 30000, 30000, 1, 1, 1, 1))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    refused(packed, "more than a chest CT", UnsafeInputError)
    header = tmp_path / "c.mhd"
    write(image_of(), header)
    header.write_text(header.read_text().replace("DimSize = 48 40 12", "DimSize = 9999 9999 9999"))
    refused(header, "more than a chest CT", UnsafeInputError)


def test_a_header_may_not_name_pixels_elsewhere(tmp_path):
    header = write(image_of(), tmp_path / "c.mhd")
    for target, match in [("/etc/passwd", "another folder"), ("../c.raw", "another folder")]:
        header.write_text(header.read_text().replace("c.raw", target).replace("c.zraw", target))
        refused(header, match, UnsafeInputError)
        header.write_text(header.read_text().replace(target, "c.raw"))
    (tmp_path / "c.raw").unlink()
    refused(header, "not beside it")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_damaged_files_are_refused(tmp_path, name):
    file = write(image_of(), tmp_path / name)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    refused(file, "damaged|not numbers")
    file.write_bytes(b"nothing of the kind" * 40)
    refused(file, "damaged")


def test_several_volumes_or_forms_are_refused(tmp_path):
    write(image_of(), tmp_path / "a.nii.gz")
    write(image_of(), tmp_path / "b.nii.gz")
    refused(tmp_path, "2 volumes")
    write(image_of(), tmp_path / "c.mha")
    refused(tmp_path, r"2 forms \(nifti, mha\)")
    with pytest.raises(StudyError, match="has no series"):
        read_volume(tmp_path / "a.nii.gz", series="1.2.3")
