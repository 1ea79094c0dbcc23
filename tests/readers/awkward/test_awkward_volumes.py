"""NIfTI, MetaImage and NRRD: any axes read right, any fault refused by name."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import volume_files as write
from ramp_ct import grid, ramp
from readable import READABLE, corners_of

from deeppneumonia.datasets.fingerprint import content_sha256
from deeppneumonia.domain import Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.files import sha256_of
from deeppneumonia.readers import read_study, read_volume

PLAIN = READABLE[0].corners
AXES = list(itertools.permutations((0, 1, 2)))
HU = write.voxels(write.placed()[0], write.SIZE)
FLIPS = list(itertools.product((0, 1), repeat=3))


def shows_the_ramp(file: Path, tolerance_hu: float = 0.51) -> None:
    volume = read_volume(file)
    assert volume.unit is Unit.HU and volume.flags == ()
    assert volume.shape == (12, 40, 48)
    slice_step, row_step, column_step = volume.affine[:3, :3].T
    assert slice_step[2] > 0 and row_step[1] > 0 and column_step[0] > 0
    found, known = (
        points[np.lexsort(np.round(points).T)]
        for points in (corners_of(volume.affine, volume.shape), PLAIN)
    )
    np.testing.assert_allclose(found, known, atol=1e-3)
    expected = ramp(grid(volume.affine, volume.shape))
    np.testing.assert_allclose(volume.array, expected, atol=tolerance_hu)


@pytest.mark.parametrize("form", ["nifti", "meta_image", "nrrd"])
@pytest.mark.parametrize("flips", FLIPS, ids=str)
def test_any_axes_and_mirrored_ones_are_read_right(
    form: str, flips: tuple[int, ...], tmp_path: Path
) -> None:
    suffix = {"nifti": "nii", "meta_image": "mha", "nrrd": "nrrd"}[form]
    for number, axes in enumerate(AXES):
        affine, size = write.placed(axes, flips)
        file = getattr(write, form)(tmp_path / f"{number}.{suffix}", affine=affine, size=size)
        shows_the_ramp(file)


IN_RAS = (write.RAS @ write.placed()[0])[:3]
SOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "NIfTI, big endian": ("a.nii", {"order": ">"}),
    "NIfTI, double, packed": ("a.nii.gz", {"dtype": "f8"}),
    "NIfTI, qform alone": ("a.nii", {"codes": (1, 0)}),
    "NIfTI, both forms": ("a.nii", {"codes": (1, 1)}),
    "NIfTI, a fourth axis of one": ("a.nii", {"dims": (4, *write.SIZE, 1, 1, 1, 1)}),
    "NIfTI, room before the voxels": ("a.nii", {"offset": 4096}),
    "NIfTI, slope 0 for none": ("a.nii", {"scale": (0, 0)}),
    "NIfTI, slope and intercept": (
        "a.nii",
        {"values": 2 * (HU + 1024), "dtype": "u2", "scale": (0.5, -1024)},
    ),
    "NIfTI in metres": ("a.nii", {"units": 1, "srow": IN_RAS / 1000}),
    "NIfTI in micrometres": ("a.nii", {"units": 3, "srow": IN_RAS * 1000}),
    "MHA, big endian": ("a.mha", {"big_endian": True}),
    "MHA, packed float": ("a.mha", {"packed": True, "dtype": "f4"}),
    "MHA, packed, size not said": ("a.mha", {"packed": True, "CompressedDataSize": None}),
    "MHA, packed, size said wrong": ("a.mha", {"packed": True, "CompressedDataSize": "50"}),
    "MHA, packed, big endian": ("a.mha", {"packed": True, "big_endian": True}),
    "MHD beside its pixels": ("a.mhd", {}),
    "MHD beside packed pixels": ("a.mhd", {"packed": True, "CompressedDataSize": None}),
    "NRRD, gzip": ("a.nrrd", {"encoding": "gzip"}),
    "NRRD in RAS": ("a.nrrd", {"space": "right-anterior-superior"}),
}
WRITERS = {"nii": write.nifti, "gz": write.nifti, "mha": write.meta_image, "mhd": write.meta_image,
           "nrrd": write.nrrd}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_an_awkward_volume_is_read_right(case: str, tmp_path: Path) -> None:
    name, fields = SOUND[case]
    shows_the_ramp(WRITERS[name.split(".")[-1]](tmp_path / name, **fields))


def leaning(by_deg: float) -> Any:
    affine, _ = write.placed()
    affine[1, 2] = np.tan(np.radians(by_deg)) * affine[2, 2]
    return affine


def changed(value: float) -> Any:
    """The ramp's voxels with one of them replaced."""
    values = HU.copy()
    values[5, 5, 5] = value
    return values


FLAT = write.placed()[0] @ np.diag([1, 1, 0, 1])
MIRRORED = (write.RAS @ write.placed()[0] @ np.diag([-1.0, 1, 1, 1]))[:3]
FOUR_D = {
    "NDims": "4",
    "DimSize": "48 40 6 2",
    "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
    "Offset": "0 0 0 0",
    "ElementSpacing": "1 2 3 1",
}


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "4-D": ("nifti", {"dims": (4, *write.SIZE, 2, 1, 1, 1)}, "4 dimensions"),
    "2-D": ("nifti", {"dims": (2, 48, 40, 1, 1, 1, 1, 1)}, "2 dimensions"),
    "negative dims": ("nifti", {"dims": (3, 48, -40, 12, 1, 1, 1, 1)}, "-40 x 48 pixels"),
    "huge dims": ("nifti", {"dims": (3, *[32767] * 3, 1, 1, 1, 1)}, "more than a chest CT"),
    "singular affine": ("nifti", {"srow": FLAT[:3]}, "singular"),
    "affine of NaN": ("nifti", {"srow": np.full((3, 4), np.nan)}, "singular"),
    "affine of zeros": ("nifti", {"srow": np.zeros((3, 4))}, "singular"),
    "mirrored sform beside a qform": ("nifti", {"codes": (1, 1), "srow": MIRRORED}, "contradict"),
    "no orientation": ("nifti", {"codes": (0, 0)}, "left and right are unknown"),
    "sheared affine": ("nifti", {"affine": leaning(8)}, "tilted: .* 8.0 degrees"),
    "NaN": ("nifti", {"values": changed(np.nan), "dtype": "f4"}, "not numbers"),
    "infinite": ("nifti", {"values": changed(np.inf), "dtype": "f8"}, "not numbers"),
    "metres called so": ("nifti", {"units": 1}, "other units"),
    "micrometres called so": ("nifti", {"units": 3}, "other units"),
    "centimetres": ("nifti", {"srow": (write.RAS @ write.placed()[0])[:3] / 10}, "other units"),
    "HU + 1024": ("nifti", {"values": HU + 1024}, "Hounsfield units"),
    "HU / 1000": ("nifti", {"values": HU / 1000, "dtype": "f4"}, "Hounsfield units"),
    "HU * 100": ("nifti", {"values": HU * 100, "dtype": "f4"}, "Hounsfield units"),
    "one value": ("nifti", {"values": HU * 0 - 1000}, "Hounsfield units"),
    "MHA, 4-D": ("meta_image", FOUR_D, "4 dimensions"),
    "MHA, negative dims": ("meta_image", {"DimSize": "48 -40 12"}, "more than a chest CT"),
    "MHA, no voxels": ("meta_image", {"DimSize": "0 40 12"}, "damaged|empty picture"),
    "MHA, huge dims": ("meta_image", {"DimSize": "48 40 99999999"}, "more than a chest CT"),
    "MHA, singular": ("meta_image", {"TransformMatrix": "1 0 0 0 1 0 0 1 0"}, "singular"),
    "MHA, no directions": ("meta_image", {"TransformMatrix": "0 " * 9}, "singular"),
    "MHA, spacing of NaN": ("meta_image", {"ElementSpacing": "nan nan nan"}, "no length"),
    "MHA, negative spacing": ("meta_image", {"ElementSpacing": "-1 2 3"}, "no length"),
    "MHA, spacing 0": ("meta_image", {"ElementSpacing": "0 2 3"}, "no length"),
    "MHA, no spacing": ("meta_image", {"ElementSpacing": None}, "how large"),
    "MHA in metres": ("meta_image", {"ElementSpacing": "0.001 0.002 0.003"}, "other units"),
    "MHA, NaN": ("meta_image", {"values": changed(np.nan), "dtype": "f4"}, "not numbers"),
    "MHA, not HU": ("meta_image", {"values": HU + 1024, "dtype": "u2"}, "Hounsfield units"),
    "MHA, packed, a slice short": ("meta_image", {"packed": True, "values": HU[:-1]}, "damaged"),
    "MHA, packed, a slice long": (
        "meta_image",
        {"packed": True, "values": np.concatenate([HU, HU[:1]])},
        "damaged",
    ),
    "MHA, slope": ("meta_image", {"ElementToIntensityFunctionSlope": "2"}, "a slope or an offset"),
    "MHA, offset": ("meta_image", {"ElementToIntensityFunctionOffset": "-9"}, "a slope or an off"),
    "NRRD, packed, a slice short": ("nrrd", {"encoding": "gzip", "values": HU[:-1]}, "damaged"),
    "NRRD, packed, a slice long": (
        "nrrd",
        {"encoding": "gzip", "values": np.concatenate([HU, HU[:1]])},
        "damaged",
    ),
    "MHA, a slice long": ("meta_image", {"values": np.concatenate([HU, HU[:1]])}, "another volume"),
    "NRRD, a slice long": ("nrrd", {"values": np.concatenate([HU, HU[:1]])}, "another volume"),
    "MHA, as text": ("meta_image", {"BinaryData": "False"}, "stored as text"),
    "NRRD, bzip2": ("nrrd", {"encoding": "bzip2"}, "stored as bzip2"),
    "NRRD, no space": ("nrrd", {"space": " "}, "left and right are unknown"),
    "NRRD, scanner space": ("nrrd", {"space": "scanner-xyz"}, "scanner-xyz"),
    "NRRD, no directions": ("nrrd", {"space_directions": None}, "how large"),
    "NRRD, singular": ("nrrd", {"space_directions": "(1,0,0) (0,2,0) (0,4,0)"}, "singular"),
    "NRRD in metres": ("nrrd", {"space_units": '"m" "m" "m"'}, "other units"),
    "NRRD, negative dims": ("nrrd", {"sizes": "48 40 -12"}, "damaged"),
    "NRRD, infinite": ("nrrd", {"values": changed(np.inf), "dtype": "f4"}, "not numbers"),
}
SUFFIX = {"nifti": "nii", "meta_image": "mha", "nrrd": "nrrd"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_volume_is_refused_and_the_fault_named(fault: str, tmp_path: Path) -> None:
    form, fields, says = FAULTS[fault]
    file = getattr(write, form)(tmp_path / f"Jane.{SUFFIX[form]}", **fields)
    with pytest.raises(StudyError, match=says) as caught:
        read_volume(file)
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("turned", [None, -3], ids=["cut short", "checksum"])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_packed_voxels_that_are_not_whole_are_refused(
    name: str, turned: int | None, tmp_path: Path
) -> None:
    """SimpleITK gives zeros, or what stood in memory, for what is missing."""
    header = write.meta_image(tmp_path / name, packed=True, CompressedDataSize=None)
    file = header if name == "a.mha" else tmp_path / "a.raw"
    content = bytearray(file.read_bytes())
    if turned is None:
        del content[-40:]
    else:
        content[turned] ^= 1
    file.write_bytes(content)
    with pytest.raises(StudyError, match="damaged, truncated"):
        read_volume(header)


def test_a_meta_image_that_simpleitk_packed_is_read_right(tmp_path: Path) -> None:
    plain = SimpleITK.ReadImage(str(write.meta_image(tmp_path / "plain.mha")))
    SimpleITK.WriteImage(plain, str(tmp_path / "packed.mha"), useCompression=True)
    assert b"CompressedData = True" in (tmp_path / "packed.mha").read_bytes()[:1000]
    shows_the_ramp(tmp_path / "packed.mha")


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_a_header_is_known_together_with_the_file_of_its_pixels(name: str, tmp_path: Path) -> None:
    if name == "a.mhd":
        file = write.meta_image(tmp_path / name)
    else:
        file = write.nrrd(tmp_path / name, data_file="a.raw")
        header, body = file.read_bytes().split(b"\n\n", 1)
        file.write_bytes(header + b"\n\n")
        (tmp_path / "a.raw").write_bytes(body)
    before = content_sha256(file), read_study(file).uid
    pixels = bytearray((tmp_path / "a.raw").read_bytes())
    pixels[-2] ^= 1
    (tmp_path / "a.raw").write_bytes(pixels)
    assert content_sha256(file) != before[0] and read_study(file).uid != before[1]
    (tmp_path / "a.raw").unlink()
    assert content_sha256(file) == sha256_of(file)
