"""DICOM series are read right, whatever their order, encoding and direction."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from deeppneumonia.domain import SourceKind, Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import read_study, read_volume
from deeppneumonia.readers.decode import to_hu
from deeppneumonia.readers.headers import PixelFormat, SliceHeader


def codes(volume):
    return [flag.code for flag in volume.flags]


def test_slices_are_ordered_by_position_and_neither_by_name_nor_by_number(
    lab, tmp_path, shows_the_ramp
):
    volume = read_volume(lab.save(lab.chest(), tmp_path / "ct"))
    shows_the_ramp(volume)
    assert volume.flags == ()
    assert volume.affine[:3, 3].tolist() == [-10, -20, -30]
    heights = [pydicom.dcmread(f).ImagePositionPatient[2] for f in volume.series.files]
    assert heights == sorted(heights)


def test_the_study_tells_its_series_and_names_nobody(lab, tmp_path):
    folder = lab.save(lab.chest(), tmp_path / "ct")
    study = read_study(folder)
    assert (study.uid, study.kind) == ("1.2.826.0.1.1", SourceKind.DICOM)
    assert [(s.uid, s.modality, len(s.files)) for s in study.series] == [
        ("1.2.826.0.1.2", "CT", 12)
    ]
    said = study.series[0].description + read_volume(folder).series.chosen_because
    assert "Jane" not in said and "SECRET" not in said


@pytest.mark.parametrize(
    "orientation",
    [
        (-1, 0, 0, 0, -1, 0),  # prone, or a reversed display
        (-1, 0, 0, 0, 1, 0),
        (1, 0, 0, 0, -1, 0),
        (0, 1, 0, 1, 0, 0),  # rows and columns exchanged
        (0, -1, 0, -1, 0, 0),
    ],
    ids=str,
)
def test_any_axial_direction_is_turned_to_standard_display(lab, tmp_path, orientation):
    volume = read_volume(lab.save(lab.chest(orientation=orientation), tmp_path / "ct"))
    slice_step, row_step, column_step = volume.affine[:3, :3].T
    assert slice_step[2] > 0 and row_step[1] > 0 and column_step[0] > 0
    np.testing.assert_array_equal(volume.array, lab.ramp(lab.grid(volume.affine, volume.shape)))


def test_each_slice_has_its_own_rescale(lab, tmp_path, shows_the_ramp):
    slices = lab.chest()
    for index in (2, 7):
        position = slices[index].ImagePositionPatient
        slices[index] = lab.ct_slice(position, slope=2, intercept=-2000)
    shows_the_ramp(read_volume(lab.save(slices, tmp_path / "ct")))


def test_a_fractional_slope_gives_float_values(lab, tmp_path, shows_the_ramp):
    volume = read_volume(lab.save(lab.chest(slope=0.25), tmp_path / "ct"))
    shows_the_ramp(volume)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_monochrome1_changes_the_display_and_not_the_hu(lab, tmp_path, shows_the_ramp, photometric):
    slices = lab.chest()
    for dataset in slices:
        dataset.PhotometricInterpretation = photometric
    volume = read_volume(lab.save(slices, tmp_path / "ct"))
    shows_the_ramp(volume)
    assert volume.array.dtype == np.int16


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_bits_above_the_stored_twelve_are_not_pixels(lab, tmp_path, shows_the_ramp, signed):
    slices = lab.chest(signed=signed, intercept=0 if signed else -1024)
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, np.uint16) & 0x0FFF
        dataset.PixelData = (stored | 0x5000).astype(np.uint16).tobytes()  # an old overlay
        dataset.BitsStored, dataset.HighBit = 12, 11
    shows_the_ramp(read_volume(lab.save(slices, tmp_path / "ct")))


@pytest.mark.parametrize(
    ("stored", "padding", "limit"),
    [(63536, 63536, None), (63540, 63530, 63550), (0, 0, None)],
    ids=["value", "range", "zero"],
)
def test_padding_is_air(lab, tmp_path, stored, padding, limit):
    slices = lab.chest()
    for dataset in slices:
        pixels = np.frombuffer(dataset.PixelData, np.uint16).copy()
        pixels[0] = stored
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US", padding)
        if limit:
            dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    volume = read_volume(lab.save(slices, tmp_path / "ct"))
    assert volume.slice(3)[0, 0] == -1000
    assert volume.slice(3)[0, 1] == lab.ramp(np.array([-9.0, -20.0, -21.0]))


def test_values_below_air_are_clamped(lab, tmp_path):
    slices = lab.chest(signed=True, intercept=0)
    pixels = np.frombuffer(slices[0].PixelData, np.int16).copy()
    pixels[0] = -3024
    slices[0].PixelData = pixels.tobytes()
    assert read_volume(lab.save(slices, tmp_path / "ct")).slice(0)[0, 0] == -1024


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name
)
def test_compressed_pixels_are_the_same_pixels(lab, tmp_path, shows_the_ramp, syntax):
    slices = lab.chest()
    for dataset in slices:
        compress(dataset, syntax, generate_instance_uid=False)
    shows_the_ramp(read_volume(lab.save(slices, tmp_path / "ct")))


@pytest.mark.parametrize(
    "syntax",
    [DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=lambda uid: uid.name,
)
def test_every_uncompressed_encoding_is_read(lab, tmp_path, shows_the_ramp, syntax):
    slices = lab.chest()
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "US", 63536)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
            dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax
    shows_the_ramp(read_volume(lab.save(slices, tmp_path / "ct")))


def test_files_without_preamble_are_dicom_too(lab, tmp_path, shows_the_ramp):
    folder = lab.save(lab.chest(), tmp_path / "ct")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.file_meta
        pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    shows_the_ramp(read_volume(folder))


def test_only_slices_that_are_asked_for_are_decoded(lab, tmp_path):
    slices = lab.chest()
    slices[5].PixelData = slices[5].PixelData[:10]
    volume = read_volume(lab.save(slices, tmp_path / "ct"))
    assert volume.slice(4).shape == (40, 48)
    with pytest.raises(StudyError, match=r"Slice 5 .* damaged"):
        volume.slice(5)


def test_nested_folders_and_a_single_file_are_read(lab, tmp_path, shows_the_ramp):
    slices = lab.chest()
    lab.save(slices[:5], tmp_path / "ct" / "a" / "b")
    lab.save(slices[5:], tmp_path / "ct" / "c")
    shows_the_ramp(read_volume(tmp_path / "ct"))
    one = read_volume(next((tmp_path / "ct" / "c").iterdir()))
    assert len(one) == 1 and codes(one) == ["one_slice"]


def test_a_zip_gives_the_same_volume_and_leaves_nothing_behind(lab, tmp_path, shows_the_ramp):
    lab.save(lab.chest(), tmp_path / "ct" / "inner")
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "ct")
    volume = read_volume(Path(archive))
    shows_the_ramp(volume)
    unpacked = volume.series.files[0]
    assert unpacked.exists()
    del volume
    assert not unpacked.exists()


def test_what_lies_beside_the_images_is_left_alone_and_said(lab, tmp_path):
    folder = lab.save(lab.chest(), tmp_path / "ct")
    (folder / "Jane Doe.txt").write_text("hello")
    assert read_study(folder).ignored == ("other files: 1",)


def enhanced(slices: list[Dataset]) -> Dataset:
    """The same slices as one Enhanced CT image, its frames from head to feet."""
    whole = copy.deepcopy(slices[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(whole, keyword)
    del whole.RescaleSlope, whole.RescaleIntercept, whole.SliceThickness, whole.InstanceNumber
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.NumberOfFrames = len(slices)
    whole.PixelData = b"".join(s.PixelData for s in reversed(slices))

    def group(**values):
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return Sequence([item])

    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = group(PixelSpacing=[2.0, 1.0], SliceThickness=3.0)
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for single in reversed(slices):
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=single.ImagePositionPatient)
        frame.PixelValueTransformationSequence = group(
            RescaleSlope=single.RescaleSlope,
            RescaleIntercept=single.RescaleIntercept,
            RescaleType="HU",
        )
        frames.append(frame)
    whole.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return whole


@pytest.mark.parametrize("compression", [None, RLELossless], ids=["plain", "RLE"])
def test_enhanced_multi_frame_ct_is_read_frame_by_frame(lab, tmp_path, shows_the_ramp, compression):
    slices = lab.chest()
    slices[4] = lab.ct_slice(slices[4].ImagePositionPatient, intercept=-1000)
    whole = enhanced(slices)
    if compression:
        compress(whole, compression, generate_instance_uid=False)
    volume = read_volume(lab.save([whole], tmp_path / "ct"))
    shows_the_ramp(volume)
    assert len(volume.series.files) == 1


def test_a_single_file_of_a_series_keeps_its_place(lab, tmp_path):
    folder = lab.save(lab.chest()[7:8], tmp_path / "ct")
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
