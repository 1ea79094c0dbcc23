"""DICOM series are read right, whatever their order, encoding and direction."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from encodings_of_ct import enhanced
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from ramp_ct import chest, ct_slice, ramp, save

from deeppneumonia.domain import SourceKind, Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import read_study, read_volume
from deeppneumonia.readers.decode import to_hu
from deeppneumonia.readers.headers import PixelFormat, SliceHeader


def codes(volume):
    return [flag.code for flag in volume.flags]


def test_slices_are_ordered_by_position_and_neither_by_name_nor_by_number(tmp_path, shows_the_ramp):
    volume = read_volume(save(chest(), tmp_path / "ct"))
    shows_the_ramp(volume)
    assert volume.flags == ()
    assert volume.affine[:3, 3].tolist() == [-10, -20, -30]
    heights = [pydicom.dcmread(f).ImagePositionPatient[2] for f in volume.series.files]
    assert heights == sorted(heights)


def test_the_study_tells_its_series_and_names_nobody(tmp_path):
    folder = save(chest(), tmp_path / "ct")
    study = read_study(folder)
    assert (study.uid, study.kind) == ("1.2.826.0.1.1", SourceKind.DICOM)
    assert [(s.uid, s.modality, len(s.files)) for s in study.series] == [
        ("1.2.826.0.1.2", "CT", 12)
    ]
    said = study.series[0].description + read_volume(folder).series.chosen_because
    assert "Jane" not in said and "SECRET" not in said


def test_each_slice_has_its_own_rescale(tmp_path, shows_the_ramp):
    slices = chest()
    for index in (2, 7):
        position = slices[index].ImagePositionPatient
        slices[index] = ct_slice(position, slope=2, intercept=-2000)
    shows_the_ramp(read_volume(save(slices, tmp_path / "ct")))


def test_a_fractional_slope_gives_float_values(tmp_path, shows_the_ramp):
    volume = read_volume(save(chest(slope=0.25), tmp_path / "ct"))
    shows_the_ramp(volume)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize(
    ("stored", "padding", "limit"),
    [(63536, 63536, None), (63540, 63530, 63550), (0, 0, None)],
    ids=["value", "range", "zero"],
)
def test_padding_is_air(tmp_path, stored, padding, limit):
    slices = chest()
    for dataset in slices:
        pixels = np.frombuffer(dataset.PixelData, np.uint16).copy()
        pixels[0] = stored
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US", padding)
        if limit:
            dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    volume = read_volume(save(slices, tmp_path / "ct"))
    assert volume.slice(3)[0, 0] == -1000
    assert volume.slice(3)[0, 1] == ramp(np.array([-9.0, -20.0, -21.0]))


def test_values_below_air_are_clamped(tmp_path):
    slices = chest(signed=True, intercept=0)
    pixels = np.frombuffer(slices[0].PixelData, np.int16).copy()
    pixels[0] = -3024
    slices[0].PixelData = pixels.tobytes()
    assert read_volume(save(slices, tmp_path / "ct")).slice(0)[0, 0] == -1024


@pytest.mark.parametrize(
    "syntax",
    [DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=lambda uid: uid.name,
)
def test_every_uncompressed_encoding_is_read(tmp_path, shows_the_ramp, syntax):
    slices = chest()
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "US", 63536)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
            dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax
    shows_the_ramp(read_volume(save(slices, tmp_path / "ct")))


def test_only_slices_that_are_asked_for_are_decoded(tmp_path):
    slices = chest()
    slices[5].PixelData = slices[5].PixelData[:10]
    volume = read_volume(save(slices, tmp_path / "ct"))
    assert volume.slice(4).shape == (40, 48)
    with pytest.raises(StudyError, match=r"Slice 5 .* damaged"):
        volume.slice(5)


def test_nested_folders_and_a_single_file_are_read(tmp_path, shows_the_ramp):
    slices = chest()
    save(slices[:5], tmp_path / "ct" / "a" / "b")
    save(slices[5:], tmp_path / "ct" / "c")
    shows_the_ramp(read_volume(tmp_path / "ct"))
    one = read_volume(next((tmp_path / "ct" / "c").iterdir()))
    assert len(one) == 1 and codes(one) == ["one_slice"]


def test_a_zip_gives_the_same_volume_and_leaves_nothing_behind(tmp_path, shows_the_ramp):
    save(chest(), tmp_path / "ct" / "inner")
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "ct")
    volume = read_volume(Path(archive))
    shows_the_ramp(volume)
    unpacked = volume.series.files[0]
    assert unpacked.exists()
    del volume
    assert not unpacked.exists()


def test_what_lies_beside_the_images_is_left_alone_and_said(tmp_path):
    folder = save(chest(), tmp_path / "ct")
    (folder / "Jane Doe.txt").write_text("hello")
    assert read_study(folder).ignored == ("other files: 1",)


@pytest.mark.parametrize("compression", [None, RLELossless], ids=["plain", "RLE"])
def test_enhanced_multi_frame_ct_is_read_frame_by_frame(tmp_path, shows_the_ramp, compression):
    slices = chest()
    slices[4] = ct_slice(slices[4].ImagePositionPatient, intercept=-1000)
    whole = enhanced(slices[::-1])
    if compression:
        compress(whole, compression, generate_instance_uid=False)
    volume = read_volume(save([whole], tmp_path / "ct"))
    shows_the_ramp(volume)
    assert len(volume.series.files) == 1


def test_a_single_file_of_a_series_keeps_its_place(tmp_path):
    folder = save(chest()[7:8], tmp_path / "ct")
    volume = read_volume(folder)
    assert volume.unit is Unit.HU
    assert volume.affine[:3, 3].tolist() == [-10, -20, -9]
    assert volume.spacing_mm == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("kind", ["uint16", "int16"])
@pytest.mark.parametrize("padding", [None, (-2000, -1900), (63536, 63536)])
@pytest.mark.parametrize(("slope", "intercept", "dtype"), [(1, -1024, "int16"), (0.3, 0.5, "f4")])
def test_every_value_of_16_bits_means_what_it_means_in_32(kind, padding, slope, intercept, dtype):
    pixels = PixelFormat(bits_stored=12, high_bit=11, signed=kind == "int16", padding=padding)
    header = SliceHeader(file=Path(), slope=slope, intercept=intercept, pixels=pixels)
    every = np.arange(65536, dtype=np.uint16).view(kind).reshape(256, 256).T
    looked_up = to_hu(every, header, np.dtype(dtype))
    assert looked_up.dtype == dtype
    assert (looked_up == to_hu(every.astype(np.int32), header, np.dtype(dtype))).all()
