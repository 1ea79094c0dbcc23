"""What cannot be read right is refused by name, and what was put right is said."""

import copy

import numpy as np
import pytest
from pydicom.uid import generate_uid
from ramp_ct import chest, ct_slice, save, with_tags

from deeppneumonia.errors import InputRefusedError, StudyError
from deeppneumonia.readers import (
    MissingRescaleError,
    MixedPatientsError,
    MixedSeriesError,
    NotAxialError,
    SeveralStudiesError,
    WrongModalityError,
    read_study,
    read_volume,
)


def codes(volume):
    return [flag.code for flag in volume.flags]


def refusal(expected, folder):
    """The message; it never names the patient, nor a file."""
    with pytest.raises(expected) as caught:
        read_volume(folder)
    assert isinstance(caught.value, InputRefusedError)
    message = str(caught.value)
    assert "SECRET" not in message and "Jane" not in message and "-0" not in message
    return message


def test_a_tilt_that_stands_in_the_header_only_is_flagged(tmp_path, shows_the_ramp):
    volume = read_volume(save(with_tags(chest(), GantryDetectorTilt=15), tmp_path))
    shows_the_ramp(volume)
    assert codes(volume) == ["tilt_tag"]


@pytest.mark.parametrize(
    ("orientation", "step"),
    [((0, 1, 0, 0, 0, -1), (3, 0, 0)), ((1, 0, 0, 0, 0, -1), (0, 3, 0))],
    ids=["sagittal", "coronal"],
)
def test_a_few_slices_of_another_direction_are_no_series(tmp_path, orientation, step):
    slices = chest(3, orientation=orientation, step=step)
    assert "not axial: they are turned 90 deg" in refusal(NotAxialError, save(slices, tmp_path))


def test_oblique_slices_are_blocked_with_their_angle(tmp_path):
    turn = np.radians(20)
    normal = (0, -3 * np.sin(turn), 3 * np.cos(turn))
    slices = chest(orientation=(1, 0, 0, 0, np.cos(turn), np.sin(turn)), step=normal)
    (flag,) = read_volume(save(slices, tmp_path)).flags
    assert (flag.code, flag.blocks) == ("oblique", True)
    assert "turned 20 degrees" in flag.message


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_missing_rescale_is_refused_by_name(tmp_path, keyword):
    slices = chest()
    delattr(slices[8], keyword)
    message = refusal(MissingRescaleError, save(slices, tmp_path))
    assert "Rescale Slope (0028,1053)" in message and "slice 9" in message


def test_mr_is_refused_by_name(tmp_path):
    folder = save(with_tags(chest(), Modality="MR"), tmp_path)
    assert "holds MR and no CT images" in refusal(WrongModalityError, folder)
    with pytest.raises(WrongModalityError, match="is MR, where CT"):
        read_volume(folder, series="1.2.826.0.1.2")


def test_two_patients_in_one_folder_are_refused(tmp_path):
    slices = chest()
    slices[3].PatientID = "SECRET-8"
    folder = save(slices, tmp_path)
    assert "2 different patients" in refusal(MixedPatientsError, folder)
    with pytest.raises(MixedPatientsError):
        read_study(folder)


def test_two_studies_are_refused_unless_a_series_is_named(tmp_path, shows_the_ramp):
    other = with_tags(chest(), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4")
    save(other, tmp_path / "old")
    save(chest(), tmp_path / "new")
    assert "2 studies" in refusal(SeveralStudiesError, tmp_path)
    volume = read_volume(tmp_path, series="1.2.3.4")
    shows_the_ramp(volume)
    assert (volume.study.uid, len(volume.study.series)) == ("1.2.3", 1)
    assert volume.series.chosen_because == "It was named by the user."


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
def test_slices_without_a_place_are_refused(tmp_path, keyword):
    slices = chest()
    delattr(slices[2], keyword)
    assert "1 of 12 images lacks Image" in refusal(StudyError, save(slices, tmp_path))


def test_cosines_that_are_no_plane_are_refused(tmp_path):
    slices = with_tags(chest(), ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    assert "not a pair of unit vectors" in refusal(StudyError, save(slices, tmp_path))


def test_localizers_inside_a_series_are_left_out_and_flagged(tmp_path, shows_the_ramp):
    slices = chest()
    scout = ct_slice([0, 0, 0], (0, 1, 0, 0, 0, -1))
    named = ct_slice([0, 0, -31])
    named.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    volume = read_volume(save([scout, *slices, named], tmp_path))
    shows_the_ramp(volume)
    assert codes(volume) == ["localizers_left_out"]
    assert "2 images" in volume.flags[0].message


def test_copies_of_slices_are_dropped_and_flagged(tmp_path, shows_the_ramp):
    slices = chest()
    renamed = copy.deepcopy(slices[6])
    renamed.SOPInstanceUID = generate_uid()
    save([*slices, renamed], tmp_path / "a")
    save(slices[:3], tmp_path / "b")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert codes(volume) == ["duplicates_dropped"]
    assert volume.flags[0].message.startswith("4 images")


def test_a_fragment_of_another_acquisition_is_left_out(tmp_path, shows_the_ramp):
    first = with_tags(chest(), AcquisitionNumber=1)
    monitoring = [ct_slice(chest()[5].ImagePositionPatient) for _ in range(10)]
    second = with_tags([*chest(4), *monitoring], AcquisitionNumber=2)
    for dataset in second:
        dataset.PixelData = dataset.PixelData[2:] + b"\0\0"
    save(first, tmp_path / "a")
    save(second, tmp_path / "b")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert codes(volume) == ["mixed_acquisitions"]
    assert "14 images left out" in volume.flags[0].message


def test_one_acquisition_a_slice_is_one_stack(tmp_path, shows_the_ramp):
    slices = chest()
    for number, dataset in enumerate(slices):
        dataset.AcquisitionNumber = number
    shows_the_ramp(read_volume(save(slices, tmp_path)))


def test_slices_of_different_size_are_refused(tmp_path):
    slices = chest()
    slices[1].Rows, slices[1].Columns = 48, 40
    assert "40 x 48 and 48 x 40" in refusal(MixedSeriesError, save(slices, tmp_path))


def test_a_damaged_header_is_refused_and_its_file_not_named(tmp_path):
    folder = save(chest(), tmp_path)
    (folder / "Jane-000.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(7, 90)))
    refusal(StudyError, folder)


def test_lossy_compression_is_flagged(tmp_path):
    folder = save(with_tags(chest(), LossyImageCompression="01"), tmp_path)
    assert codes(read_volume(folder)) == ["lossy_compression"]


def test_a_ct_record_without_pixels_is_no_image(tmp_path):
    slices = chest(2)
    for dataset in slices:
        del dataset.Rows, dataset.Columns, dataset.PixelData
    folder = save(slices, tmp_path)
    assert "CT headers without pixels" in refusal(WrongModalityError, folder)
