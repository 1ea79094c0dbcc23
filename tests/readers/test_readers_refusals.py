"""What cannot be read right is refused by name, and what was put right is said."""

import copy

import numpy as np
import pytest
from pydicom.uid import generate_uid

from deeppneumonia.errors import InputRefusedError, StudyError
from deeppneumonia.readers import (
    GantryTiltError,
    MissingRescaleError,
    MissingSlicesError,
    MixedPatientsError,
    MixedSeriesError,
    NoStudyError,
    NotAxialError,
    SeveralStudiesError,
    VariableSpacingError,
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


def with_tag(slices, **values):
    for dataset in slices:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return slices


def test_a_gap_is_refused_with_its_place_and_size(lab, tmp_path):
    slices = lab.chest()
    del slices[4]
    message = refusal(MissingSlicesError, lab.save(slices, tmp_path))
    assert "a gap of 6.0 mm after slice 3 (the lowest is 0)" in message
    assert "a slice every 3.0 mm" in message


def test_uneven_spacing_is_refused(lab, tmp_path):
    slices = [lab.ct_slice([0, 0, z]) for z in (0, 1, 3, 4, 6, 7.5, 9, 10)]
    message = refusal(VariableSpacingError, lab.save(slices, tmp_path))
    assert "varies from 1.00 to 2.00 mm" in message


def test_gantry_tilt_is_refused_with_its_measured_angle(lab, tmp_path):
    tilt = np.radians(12)
    orientation = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    message = refusal(GantryTiltError, lab.save(lab.chest(orientation=orientation), tmp_path))
    assert "12.0 degrees off their normal" in message


def test_a_tilt_that_stands_in_the_header_only_is_flagged(lab, tmp_path, shows_the_ramp):
    volume = read_volume(lab.save(with_tag(lab.chest(), GantryDetectorTilt=15), tmp_path))
    shows_the_ramp(volume)
    assert codes(volume) == ["tilt_tag"]


@pytest.mark.parametrize(
    ("orientation", "step"),
    [((0, 1, 0, 0, 0, -1), (3, 0, 0)), ((1, 0, 0, 0, 0, -1), (0, 3, 0))],
    ids=["sagittal", "coronal"],
)
def test_a_few_slices_of_another_direction_are_no_series(lab, tmp_path, orientation, step):
    slices = lab.chest(3, orientation=orientation, step=step)
    assert "not axial: they are turned 90 deg" in refusal(NotAxialError, lab.save(slices, tmp_path))


def test_oblique_slices_are_blocked_with_their_angle(lab, tmp_path):
    turn = np.radians(20)
    normal = (0, -3 * np.sin(turn), 3 * np.cos(turn))
    slices = lab.chest(orientation=(1, 0, 0, 0, np.cos(turn), np.sin(turn)), step=normal)
    (flag,) = read_volume(lab.save(slices, tmp_path)).flags
    assert (flag.code, flag.blocks) == ("oblique", True)
    assert "turned 20 degrees" in flag.message


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_missing_rescale_is_refused_by_name(lab, tmp_path, keyword):
    slices = lab.chest()
    delattr(slices[8], keyword)
    message = refusal(MissingRescaleError, lab.save(slices, tmp_path))
    assert "Rescale Slope (0028,1053)" in message and "slice 9" in message


def test_an_iodine_map_is_not_in_hounsfield_units(lab, tmp_path):
    folder = lab.save(with_tag(lab.chest(), RescaleType="MGML"), tmp_path)
    assert "Rescale Type MGML" in refusal(MissingRescaleError, folder)


def test_mr_is_refused_by_name(lab, tmp_path):
    folder = lab.save(with_tag(lab.chest(), Modality="MR"), tmp_path)
    assert "holds MR and no CT images" in refusal(WrongModalityError, folder)
    with pytest.raises(WrongModalityError, match="is MR, where CT"):
        read_volume(folder, series="1.2.826.0.1.2")


def test_two_patients_in_one_folder_are_refused(lab, tmp_path):
    slices = lab.chest()
    slices[3].PatientID = "SECRET-8"
    folder = lab.save(slices, tmp_path)
    assert "2 different patients" in refusal(MixedPatientsError, folder)
    with pytest.raises(MixedPatientsError):
        read_study(folder)


def test_two_studies_are_refused_unless_a_series_is_named(lab, tmp_path, shows_the_ramp):
    other = with_tag(lab.chest(), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4")
    lab.save(other, tmp_path / "old")
    lab.save(lab.chest(), tmp_path / "new")
    assert "2 studies" in refusal(SeveralStudiesError, tmp_path)
    volume = read_volume(tmp_path, series="1.2.3.4")
    shows_the_ramp(volume)
    assert (volume.study.uid, len(volume.study.series)) == ("1.2.3", 1)
    assert volume.series.chosen_because == "It was named by the user."


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
def test_slices_without_a_place_are_refused(lab, tmp_path, keyword):
    slices = lab.chest()
    delattr(slices[2], keyword)
    assert "1 of 12 images lack" in refusal(StudyError, lab.save(slices, tmp_path))


def test_cosines_that_are_no_plane_are_refused(lab, tmp_path):
    slices = with_tag(lab.chest(), ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    assert "not a pair of unit vectors" in refusal(StudyError, lab.save(slices, tmp_path))


def test_localizers_inside_a_series_are_left_out_and_flagged(lab, tmp_path, shows_the_ramp):
    slices = lab.chest()
    scout = lab.ct_slice([0, 0, 0], (0, 1, 0, 0, 0, -1))
    named = lab.ct_slice([0, 0, -31])
    named.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    volume = read_volume(lab.save([scout, *slices, named], tmp_path))
    shows_the_ramp(volume)
    assert codes(volume) == ["localizers_left_out"]
    assert "2 images" in volume.flags[0].message


def test_localizers_alone_are_no_study(lab, tmp_path):
    folder = lab.save(
        with_tag(lab.chest(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path
    )
    assert "only localizers" in refusal(NoStudyError, folder)


def test_copies_of_slices_are_dropped_and_flagged(lab, tmp_path, shows_the_ramp):
    slices = lab.chest()
    renamed = copy.deepcopy(slices[6])
    renamed.SOPInstanceUID = generate_uid()
    lab.save([*slices, renamed], tmp_path / "a")
    lab.save(slices[:3], tmp_path / "b")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert codes(volume) == ["duplicates_dropped"]
    assert volume.flags[0].message.startswith("4 images")


def test_different_slices_in_one_place_are_refused(lab, tmp_path):
    other = lab.ct_slice([-10, -20, -24], intercept=-900)
    other.PixelData = other.PixelData[2:] + b"\0\0"
    message = refusal(MixedSeriesError, lab.save([*lab.chest(), other], tmp_path))
    assert "Two different slices lie in the same place" in message


def test_a_fragment_of_another_acquisition_is_left_out(lab, tmp_path, shows_the_ramp):
    first = with_tag(lab.chest(), AcquisitionNumber=1)
    monitoring = [lab.ct_slice(lab.chest()[5].ImagePositionPatient) for _ in range(10)]
    second = with_tag([*lab.chest(4), *monitoring], AcquisitionNumber=2)
    for dataset in second:
        dataset.PixelData = dataset.PixelData[2:] + b"\0\0"
    lab.save(first, tmp_path / "a")
    lab.save(second, tmp_path / "b")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert codes(volume) == ["mixed_acquisitions"]
    assert "14 images left out" in volume.flags[0].message


def test_two_whole_acquisitions_in_one_series_are_refused(lab, tmp_path):
    lab.save(with_tag(lab.chest(), AcquisitionNumber=1), tmp_path / "a")
    lab.save(with_tag(lab.chest(8), AcquisitionNumber=2), tmp_path / "b")
    message = refusal(MixedSeriesError, tmp_path)
    assert "2 acquisitions of the same region, with 12 and 8 slices" in message


def test_one_acquisition_a_slice_is_one_stack(lab, tmp_path, shows_the_ramp):
    slices = lab.chest()
    for number, dataset in enumerate(slices):
        dataset.AcquisitionNumber = number
    shows_the_ramp(read_volume(lab.save(slices, tmp_path)))


def test_slices_of_different_size_are_refused(lab, tmp_path):
    slices = lab.chest()
    slices[1].Rows, slices[1].Columns = 48, 40
    assert "40 x 48 and 48 x 40" in refusal(MixedSeriesError, lab.save(slices, tmp_path))


def test_colours_are_refused(lab, tmp_path):
    slices = with_tag(lab.chest(), PhotometricInterpretation="RGB", SamplesPerPixel=3)
    assert "holds colours" in refusal(StudyError, lab.save(slices, tmp_path))


def test_a_damaged_header_is_refused_and_its_file_not_named(lab, tmp_path):
    folder = lab.save(lab.chest(), tmp_path)
    (folder / "Jane-000.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(7, 90)))
    refusal(StudyError, folder)


def test_lossy_compression_is_flagged(lab, tmp_path):
    folder = lab.save(with_tag(lab.chest(), LossyImageCompression="01"), tmp_path)
    assert codes(read_volume(folder)) == ["lossy_compression"]


def test_a_ct_record_without_pixels_is_no_image(lab, tmp_path):
    slices = lab.chest(2)
    for dataset in slices:
        del dataset.Rows, dataset.Columns, dataset.PixelData
    folder = lab.save(slices, tmp_path)
    assert "CT headers without pixels" in refusal(WrongModalityError, folder)
