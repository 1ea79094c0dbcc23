"""DICOM objects of an answer: same study and patient, right place, nothing a refusal forbids."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from deeppneumonia.domain import (
    Box,
    Detail,
    KeySlice,
    PatientDiagnosis,
    QualityFlag,
    SaliencyMap,
    SlicePrediction,
    Status,
    Volume,
)
from deeppneumonia.readers import read_volume
from deeppneumonia.reports import ReportContext, write_outputs

SIDE, SLICES, LOWEST_MM = 64, 12, -310.0
HEIGHTS_MM = [LOWEST_MM + 5 * n + (0.3 if n == 10 else 0) for n in range(SLICES)]
"""Even but for slice 10, as far as a reader lets pass."""

KEYS = (4, 10, 2)
DETAIL = Box(8, 20, 24, 36)
Context = Callable[[Volume | None], ReportContext]


def ct_slice(number: int, **changes: object) -> Dataset:
    """Slice `number` of a supine chest, 0 at the feet; each slice has its number as HU."""
    image = Dataset()
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = f"1.2.826.0.1.99.3.{number + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.1.99.1", "1.2.826.0.1.99.2"
    image.FrameOfReferenceUID = "1.2.826.0.1.99.4"
    image.PatientName, image.PatientID = "Secret^Name", "ID-4711"
    image.PatientBirthDate, image.PatientSex = "19500101", "F"
    image.StudyDate, image.StudyTime, image.StudyID = "20250228", "101500", "7"
    image.AccessionNumber, image.ReferringPhysicianName = "A1", ""
    image.Modality, image.SeriesNumber = "CT", 3
    image.InstanceNumber = SLICES - number  # numbered from the head: never to be used
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [-100.0, -120.0, HEIGHTS_MM[number]]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [3.0, 4.0], 5.0
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "HU"
    image.PixelData = np.full((SIDE, SIDE), number, np.int16).tobytes()
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def write_series(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    for name, number in enumerate(np.random.default_rng(3).permutation(SLICES)):
        image = ct_slice(int(number), **changes)
        image.save_as(folder / f"{name:02d}.dcm", enforce_file_format=True)
    return folder


def lungs() -> NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[16:48, 6:28] = mask[16:48, 36:58] = True
    return mask


def answer_of(refused: bool, model: PatientDiagnosis) -> tuple[PatientDiagnosis, list[KeySlice]]:
    if refused:
        return model, []
    slices = tuple(
        SlicePrediction(
            slice_index=number,
            probabilities={"covid": 0.75, "bacterial": 0.15, "healthy": 0.1},
            details=(Detail(DETAIL, 0.9),) if number == KEYS[0] else (),
        )
        for number in range(SLICES)
    )
    diagnosis = replace(
        model,
        status=Status.DIAGNOSED,
        probabilities=slices[0].probabilities,
        diagnosis="covid",
        slices=slices,
        key_slices=KEYS,
    )
    heat = np.ones((SIDE, SIDE), np.float32)
    keys = [
        KeySlice(
            prediction=slices[number],
            grey=np.full((SIDE, SIDE), 60, np.uint8),
            lung_mask=lungs(),
            saliency=SaliencyMap(number, "covid", heat),
        )
        for number in KEYS
    ]
    return diagnosis, keys


@pytest.fixture(scope="module")
def objects(
    tmp_path_factory: pytest.TempPathFactory, covid: PatientDiagnosis, make_context: Context
) -> dict[str, Dataset]:
    """All DICOM objects of one diagnosed study."""
    folder = tmp_path_factory.mktemp("dicom")
    volume = read_volume(write_series(folder / "in"))
    diagnosis, keys = answer_of(False, covid)
    written = write_outputs(diagnosis, keys, folder / "out", make_context(volume))
    return {path.name: pydicom.dcmread(path) for path in written if path.suffix == ".dcm"}


def spoken(dataset: Dataset) -> str:
    """All that an SR says."""
    return " ".join(str(element.value) for element in dataset.iterall() if element.VR != "SQ")


def test_a_dicom_study_gets_report_segmentation_pictures_and_pdf(
    objects: dict[str, Dataset],
) -> None:
    kinds = {name: dataset.Modality for name, dataset in objects.items()}
    assert kinds == {
        "sr.dcm": "SR", "seg.dcm": "SEG", "report.dcm": "DOC",
        "key_1.dcm": "OT", "key_2.dcm": "OT", "key_3.dcm": "OT",
    }  # fmt: skip


def test_all_objects_are_new_series_of_the_same_study_and_patient(
    objects: dict[str, Dataset],
) -> None:
    for dataset in objects.values():
        assert dataset.StudyInstanceUID == "1.2.826.0.1.99.1"
        assert (dataset.PatientID, str(dataset.PatientName)) == ("ID-4711", "Secret^Name")
        assert dataset.SeriesInstanceUID != "1.2.826.0.1.99.2"
        assert "not for diagnosis" in dataset.SeriesDescription
    assert len({dataset.SeriesInstanceUID for dataset in objects.values()}) == 4
    assert len({dataset.SOPInstanceUID for dataset in objects.values()}) == 6


def test_the_structured_report_holds_probabilities_flags_and_algorithm(
    objects: dict[str, Dataset],
) -> None:
    report = hd.sr.Comprehensive3DSR.from_dataset(objects["sr.dcm"])
    groups = report.content.get_image_measurement_groups()
    assert len(groups) == 1 + len(KEYS)
    values = {one.name.meaning: one.value for one in groups[0].get_measurements()}
    assert values["Probability of COVID-19 pneumonia"] == 0.75
    text = spoken(report)
    assert "9f9f9f9f" in text and "There is a gap of 10.0 mm" in text
    assert "Research software, not a medical device" in text


def test_flags_bear_their_whole_code_however_long(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    flags = ("implausible_lung_volume", "implausible_lung_colour", "gap")
    diagnosis = replace(refused, flags=tuple(QualityFlag(code, "A sentence.") for code in flags))
    volume = read_volume(write_series(tmp_path / "in"))
    write_outputs(diagnosis, (), tmp_path / "out", make_context(volume))
    (group,) = hd.sr.srread(tmp_path / "out" / "sr.dcm").content.get_image_measurement_groups()
    said = [(one.name.value, one.value.value) for one in group.get_qualitative_evaluations()]
    assert said == [("status", "refused"), *(("quality_flag", code) for code in flags)]


def test_a_detail_lies_in_the_patient_where_its_box_lies(objects: dict[str, Dataset]) -> None:
    report = hd.sr.Comprehensive3DSR.from_dataset(objects["sr.dcm"])
    (region,) = report.content.get_planar_roi_measurement_groups()
    corners = region.roi.value
    # Pixel 0 is centred at (-100, -120); columns are 4 mm wide, rows 3 mm high.
    assert corners[:, 0].min() == -100 + (8 - 0.5) * 4
    assert corners[:, 0].max() == -100 + (24 - 0.5) * 4
    assert corners[:, 1].min() == -120 + (20 - 0.5) * 3
    assert set(corners[:, 2]) == {HEIGHTS_MM[4]}


def test_key_slices_refer_to_their_own_source_image(objects: dict[str, Dataset]) -> None:
    referred = [
        objects[f"key_{n}.dcm"].SourceImageSequence[0].ReferencedSOPInstanceUID for n in (1, 2, 3)
    ]
    assert referred == [f"1.2.826.0.1.99.3.{number + 1}" for number in KEYS]


def test_the_segmentation_lies_at_the_true_heights_of_uneven_slices(
    objects: dict[str, Dataset],
) -> None:
    seg = hd.seg.Segmentation.from_dataset(objects["seg.dcm"])
    assert seg.number_of_segments == 2
    found: dict[int, set[float]] = {}
    for number, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        segment = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        height = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        found.setdefault(segment, set()).add(height)
        wanted = lungs() if segment == 1 else np.zeros((SIDE, SIDE), bool)
        if segment == 2:
            wanted[20:36, 8:24] = True
        assert np.array_equal(seg.pixel_array[number] > 0, wanted)
    assert found == {1: {HEIGHTS_MM[key] for key in KEYS}, 2: {HEIGHTS_MM[4]}}


def test_the_pdf_in_the_envelope_is_the_pdf_of_the_answer(
    objects: dict[str, Dataset],
) -> None:
    envelope = objects["report.dcm"]
    pdf = envelope.EncapsulatedDocument[: envelope.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF") and pdf.rstrip().endswith(b"%%EOF")


def test_a_name_is_in_the_dicom_objects_and_nowhere_else(
    tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    volume = read_volume(write_series(tmp_path / "in"))
    diagnosis, keys = answer_of(False, covid)
    written = write_outputs(diagnosis, keys, tmp_path / "out", make_context(volume))
    for path in written:
        named = b"Secret" in path.read_bytes() or b"ID-4711" in path.read_bytes()
        assert named == (path.suffix == ".dcm"), path.name


def test_a_refusal_is_a_report_without_a_measurement(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    volume = read_volume(write_series(tmp_path / "in"))
    written = write_outputs(refused, (), tmp_path / "out", make_context(volume))
    assert [path.name for path in written if path.suffix == ".dcm"] == ["sr.dcm", "report.dcm"]
    report = hd.sr.srread(tmp_path / "out" / "sr.dcm")
    (group,) = report.content.get_image_measurement_groups()
    assert group.get_measurements() == []
    assert "No slice shows complete lungs" in spoken(report)
    assert "Probability" not in spoken(report)


def test_headers_that_break_the_standard_do_not_cost_the_report(
    tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    folder = write_series(tmp_path / "in")
    for file in folder.iterdir():
        broken = pydicom.dcmread(file)
        with pydicom.config.disable_value_validation():
            broken.PatientSex, broken.StudyDate, broken.PatientBirthDate = "Male", "some day", "?"
            del broken.StudyID, broken.AccessionNumber
            broken.save_as(file)
    diagnosis, keys = answer_of(False, covid)
    context = make_context(read_volume(folder))
    written = write_outputs(diagnosis, keys, tmp_path / "out", context)
    assert sum(path.suffix == ".dcm" for path in written) == 6
    assert pydicom.dcmread(tmp_path / "out" / "sr.dcm").StudyDate == ""


@pytest.mark.parametrize("ends", [(9,), (3, 9)], ids=["one file", "two files"])
def test_a_multi_frame_source_keeps_its_places(
    ends: tuple[int, ...], tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    even = [ct_slice(number) for number in range(9)]  # below the uneven one
    (tmp_path / "in").mkdir()
    sources = [f"1.2.826.0.1.99.6.{end}" for end in ends]
    for start, end, uid in zip((0, *ends), ends, sources, strict=False):
        merged = hd.legacy.LegacyConvertedEnhancedCTImage(
            even[start:end], "1.2.826.0.1.99.5", 5, uid, end
        )
        merged.save_as(tmp_path / "in" / f"{end}.dcm")
    diagnosis, keys = answer_of(False, covid)
    order = (0, 2)  # key slices 4 and 2; 10 lies above what is left
    diagnosis = replace(
        diagnosis, slices=diagnosis.slices[:9], key_slices=tuple(KEYS[n] for n in order)
    )
    context = make_context(read_volume(tmp_path / "in"))
    write_outputs(diagnosis, [keys[n] for n in order], tmp_path / "out", context)
    seg = pydicom.dcmread(tmp_path / "out" / "seg.dcm")
    heights = {
        float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        for frame in seg.PerFrameFunctionalGroupsSequence
    }
    assert heights == {HEIGHTS_MM[4], HEIGHTS_MM[2]}
    (referred,) = seg.ReferencedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in referred.ReferencedInstanceSequence] == sources


def test_a_multi_frame_source_of_a_single_frame_gets_its_refusal(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    merged = hd.legacy.LegacyConvertedEnhancedCTImage(
        [ct_slice(0)], "1.2.826.0.1.99.5", 5, "1.2.826.0.1.99.6", 1
    )
    (tmp_path / "in").mkdir()
    merged.save_as(tmp_path / "in" / "one.dcm")
    context = make_context(read_volume(tmp_path / "in"))
    written = write_outputs(refused, (), tmp_path / "out", context)
    assert [path.name for path in written if path.suffix == ".dcm"] == ["sr.dcm", "report.dcm"]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_source_without_uids_gets_its_answer_and_no_dicom_objects(
    keyword: str, tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    folder = write_series(tmp_path / "in")
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        delattr(header, keyword)
        header.save_as(file)
    written = write_outputs(refused, (), tmp_path / "out", make_context(read_volume(folder)))
    assert {path.name for path in written} == {"result.json", "report.html", "report.pdf"}


def test_an_odd_name_is_not_quoted_in_a_warning(
    tmp_path: Path,
    refused: PatientDiagnosis,
    make_context: Context,
    recwarn: pytest.WarningsRecorder,
) -> None:
    folder = write_series(tmp_path / "in", PatientName="SECRET")
    write_outputs(refused, (), tmp_path / "out", make_context(read_volume(folder)))
    assert not [str(one.message) for one in recwarn if "SECRET" in str(one.message)]
    assert pydicom.dcmread(tmp_path / "out" / "sr.dcm").PatientName == "SECRET"


def test_a_study_that_cannot_be_read_gets_its_refusal_as_dicom(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    folder = write_series(tmp_path / "in")
    context = replace(make_context(None), about=tuple(sorted(folder.iterdir())))
    written = write_outputs(refused, (), tmp_path / "out", context)
    assert [path.name for path in written if path.suffix == ".dcm"] == ["sr.dcm", "report.dcm"]
    report = pydicom.dcmread(tmp_path / "out" / "sr.dcm")
    assert (report.StudyInstanceUID, report.PatientID) == ("1.2.826.0.1.99.1", "ID-4711")
    assert "No slice shows complete lungs" in spoken(report)
