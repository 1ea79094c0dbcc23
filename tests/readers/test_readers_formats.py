"""NIfTI, MHA, NRRD and pictures: the same volume as from DICOM, or a refusal by name."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK

from deeppneumonia.domain import SourceKind, Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import (
    GantryTiltError,
    NoStudyError,
    NotAxialError,
    UnsafeInputError,
    read_study,
    read_volume,
)

SPACING = (1.0, 2.0, 3.0)


def image_of(lab, flips=(False, False, False), dtype=np.int16):
    """The ramp with SimpleITK's own geometry; a flip turns an axis round in index and space."""
    size, origin = np.array([48, 40, 12]), np.array([-10.0, -20.0, -30.0])
    signs = np.where(flips, -1.0, 1.0)
    start = np.where(flips, origin + (size - 1) * SPACING, origin)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs * SPACING)[:, ::-1]
    affine[:3, 3] = start
    image = SimpleITK.GetImageFromArray(lab.ramp(lab.grid(affine, (12, 40, 48))).astype(dtype))
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
def test_each_format_gives_the_volume_that_dicom_gives(lab, tmp_path, shows_the_ramp, name, kind):
    dicom = read_volume(lab.save(lab.chest(), tmp_path / "dicom"))
    volume = read_volume(write(image_of(lab), tmp_path / name))
    shows_the_ramp(volume)
    assert volume.study.kind is kind
    np.testing.assert_array_equal(volume.array, dicom.array)
    np.testing.assert_allclose(volume.affine, dicom.affine, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("flips", [(1, 1, 0), (0, 0, 1), (1, 0, 1)], ids=str)
def test_axes_and_types_of_any_kind_end_in_standard_display(
    lab, tmp_path, shows_the_ramp, flips, dtype
):
    volume = read_volume(write(image_of(lab, flips, dtype), tmp_path / "ct.nii.gz"))
    shows_the_ramp(volume)
    assert volume.array.dtype == np.int16


def test_sagittal_storage_is_turned_to_axial(lab, tmp_path, shows_the_ramp):
    turned = SimpleITK.PermuteAxes(image_of(lab), [1, 2, 0])
    shows_the_ramp(read_volume(write(turned, tmp_path / "ct.nii.gz")))


def test_a_volume_in_a_folder_is_known_by_its_content_hash(lab, tmp_path):
    write(image_of(lab), tmp_path / "Jane Doe.nii.gz")
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


def test_nan_four_dimensions_and_vectors_are_refused(lab, tmp_path):
    voxels = SimpleITK.GetArrayFromImage(image_of(lab, dtype=np.float32))
    voxels[3, 3, 3] = np.nan
    refused(write(SimpleITK.GetImageFromArray(voxels), tmp_path / "a.nii"), "not numbers")
    four = SimpleITK.JoinSeries([image_of(lab), image_of(lab)])
    refused(write(four, tmp_path / "b.nii.gz"), "4 dimensions")
    refused(write(four, tmp_path / "b.mha"), "4 dimensions")
    vector = SimpleITK.Compose([image_of(lab)] * 3)
    refused(write(vector, tmp_path / "c.mha"), "3 values a voxel")


def patched_nifti(lab, file, srow=None, codes=(1, 1), dims=None):
    write(image_of(lab), file)
    content = bytearray(file.read_bytes())
    content[252:256] = np.array(codes, "<i2").tobytes()
    if srow is not None:
        content[280:328] = np.array(srow, "<f4").tobytes()
    if dims is not None:
        content[40:56] = np.array(dims, "<i2").tobytes()
    file.write_bytes(content)
    return file


def test_a_nifti_affine_that_is_no_axial_grid_is_refused(lab, tmp_path):
    flat = [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    refused(patched_nifti(lab, tmp_path / "a.nii", flat, (0, 1)), "singular")
    leaning = [[1, 0, 0, 0], [0, 2, 1, 0], [0, 0, 3, 0]]
    refused(patched_nifti(lab, tmp_path / "b.nii", leaning, (0, 1)), "tilted", GantryTiltError)
    turned = [[0.7071, -1.4142, 0, 0], [0.7071, 1.4142, 0, 0], [0, 0, 3, 0]]
    refused(patched_nifti(lab, tmp_path / "c.nii", turned, (0, 1)), "45 degrees", NotAxialError)
    refused(patched_nifti(lab, tmp_path / "d.nii", codes=(0, 0)), "left and right are unknown")


def test_a_small_file_that_promises_a_huge_volume_is_refused_before_it_is_read(lab, tmp_path):
    plain = patched_nifti(lab, tmp_path / "a.nii", dims=(3, 30000, 30000, 30000, 1, 1, 1, 1))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    refused(packed, "more than a chest CT", UnsafeInputError)
    header = tmp_path / "c.mhd"
    write(image_of(lab), header)
    header.write_text(header.read_text().replace("DimSize = 48 40 12", "DimSize = 9999 9999 9999"))
    refused(header, "more than a chest CT", UnsafeInputError)


def test_a_header_may_not_name_pixels_elsewhere(lab, tmp_path):
    header = write(image_of(lab), tmp_path / "c.mhd")
    for target, match in [("/etc/passwd", "another folder"), ("../c.raw", "another folder")]:
        header.write_text(header.read_text().replace("c.raw", target).replace("c.zraw", target))
        refused(header, match, UnsafeInputError)
        header.write_text(header.read_text().replace(target, "c.raw"))
    (tmp_path / "c.raw").unlink()
    refused(header, "not beside it")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_damaged_files_are_refused(lab, tmp_path, name):
    file = write(image_of(lab), tmp_path / name)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    refused(file, "damaged|not numbers")
    file.write_bytes(b"nothing of the kind" * 40)
    refused(file, "damaged")


def test_several_volumes_or_forms_are_refused(lab, tmp_path):
    write(image_of(lab), tmp_path / "a.nii.gz")
    write(image_of(lab), tmp_path / "b.nii.gz")
    refused(tmp_path, "2 volumes")
    write(image_of(lab), tmp_path / "c.mha")
    refused(tmp_path, r"2 forms \(nifti, mha\)")
    with pytest.raises(StudyError, match="has no series"):
        read_volume(tmp_path / "a.nii.gz", series="1.2.3")


def slices(count=11):
    return [np.full((30, 20), 10 * n, np.uint8) for n in range(count)]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_are_grey_levels_in_the_natural_order_of_their_names(tmp_path, suffix):
    for number, picture in enumerate(slices()):
        cv2.imwrite(str(tmp_path / f"slice{number}.{suffix}"), picture)
    volume = read_volume(tmp_path)
    assert volume.unit is Unit.GREY and not volume.has_geometry
    assert [flag.code for flag in volume.flags] == ["no_geometry", "not_hu"]
    assert volume.array[:, 0, 0].tolist() == [10 * n for n in range(11)]
    assert volume.array.dtype == np.uint8 and volume.shape == (11, 30, 20)


def test_one_picture_is_a_volume_of_one_slice_and_its_uid_is_its_content(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), slices()[3])
    first, second = read_volume(tmp_path / "a.png"), read_volume(tmp_path / "b.png")
    assert first.shape == (1, 30, 20)
    assert first.study.uid == second.study.uid and len(first.study.uid) == 64


def test_grey_in_three_channels_is_grey_and_colour_is_refused(tmp_path):
    grey = np.repeat(slices()[5][..., None], 3, axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    assert read_volume(tmp_path).slice(0)[0, 0] == 50
    grey[5:15, 5:15, 0] = 255
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    with pytest.raises(StudyError, match=r"Picture 1 .* is a colour picture"):
        read_volume(tmp_path).slice(0)


def test_pictures_that_cannot_be_slices_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), slices()[0])
    cv2.imwrite(str(tmp_path / "b.png"), slices()[0].T)
    refused(tmp_path, "2 different sizes")
    cv2.imwrite(str(tmp_path / "b.png"), slices()[0].astype(np.uint16))
    refused(tmp_path, "Picture 2 .* has 16 bits a channel")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    refused(tmp_path, "Picture 2 .* truncated")
    (tmp_path / "b.png").unlink()
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "c.png"), slices()[0])
    refused(tmp_path, "2 folders")


def test_damaged_pixels_show_when_the_picture_is_asked_for(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(1).integers(0, 255, (30, 20)))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "a.png").write_bytes(content)
    volume = read_volume(tmp_path)
    with pytest.raises(StudyError, match=r"Picture 1 .* damaged"):
        volume.slice(0)


def test_nothing_to_read_is_said(tmp_path):
    refused(tmp_path / "no", "There is nothing at", NoStudyError)
    refused(tmp_path, "No CT study was found in 0 files", NoStudyError)
    (tmp_path / "a.txt").write_text("x")
    refused(tmp_path / "a.txt", "expected a DICOM folder", NoStudyError)
