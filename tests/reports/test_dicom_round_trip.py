"""A mark painted into source files is found at the same millimetres in SR and SEG.

Its place in the patient follows from the source headers by PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1,
without any code of ours; for every position of the patient on the table.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from deeppneumonia.domain import (
    Box,
    Detail,
    KeySlice,
    PatientDiagnosis,
    SlicePrediction,
    Volume,
)
from deeppneumonia.readers import read_volume
from deeppneumonia.reports import ReportContext, write_outputs

Context = Callable[[Volume | None], ReportContext]
ROWS, COLUMNS, SLICES, KEY = 48, 64, 8, 5
ROW_MM, COLUMN_MM, STEP_MM = 3.0, 4.0, 5.0
TOP, BOTTOM, LEFT, RIGHT = 6, 20, 34, 58
"""The mark, in pixels of the source; far from the middle, so that no mirror leaves it in place."""


def turned(degrees: float) -> list[float]:
    """An axial plane turned a little about the patient's left-right axis."""
    angle = np.radians(degrees)
    return [1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))]


TABLE = {
    "head first, supine": [1, 0, 0, 0, 1, 0],
    "head first, prone": [-1, 0, 0, 0, -1, 0],
    "feet first, supine": [-1, 0, 0, 0, 1, 0],
    "feet first, prone": [1, 0, 0, 0, -1, 0],
    "on the right side": [0, 1, 0, -1, 0, 0],
    "slightly oblique": turned(3),
}
"""Direction cosines of the rows and columns of the source."""


def write_series(folder: Path, cosines: list[float], *, slices: int = SLICES) -> Path:
    folder.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    normal = np.cross(cosines[:3], cosines[3:])
    for number in range(slices):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.FrameOfReferenceUID, image.Modality = frame, "CT"
        image.PatientName, image.PatientID = "Round^Trip", "RT-1"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        place = np.array([-90.0, 40.0, -200.0]) + number * STEP_MM * normal
        image.ImagePositionPatient = [round(float(value), 6) for value in place]
        image.ImageOrientationPatient = [round(value, 8) for value in cosines]
        image.PixelSpacing, image.SliceThickness = [ROW_MM, COLUMN_MM], STEP_MM
        image.Rows, image.Columns = ROWS, COLUMNS
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 1
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "HU"
        pixels = np.full((ROWS, COLUMNS), -800, np.int16)
        if number == KEY:
            pixels[TOP:BOTTOM, LEFT:RIGHT] = 100
        image.PixelData = pixels.tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def painted_mm(folder: Path) -> NDArray[np.float64]:
    """(4, 3): corners of the mark in patient mm, by the standard's own equation."""
    image = pydicom.dcmread(folder / f"{KEY}.dcm")
    place = np.array(image.ImagePositionPatient, float)
    along, down = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    # Edges lie half a pixel outside the centres of the outermost pixels.
    return np.array(
        [
            place + along * column_mm * (column - 0.5) + down * row_mm * (row - 0.5)
            for row in (TOP, BOTTOM)
            for column in (LEFT, RIGHT)
        ]
    )


def answer_about(volume: Volume, model: PatientDiagnosis) -> tuple[PatientDiagnosis, KeySlice]:
    """A diagnosis with one detail: what is bright on the topmost slice that is not dark."""
    bright = max(index for index in range(len(volume)) if (volume.slice(index) > 0).any())
    mask = volume.slice(bright) > 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    slices = tuple(
        SlicePrediction(
            slice_index=index,
            probabilities={"covid": 0.75, "bacterial": 0.15, "healthy": 0.1},
            details=(Detail(box, 0.9),) if index == bright else (),
        )
        for index in range(len(volume))
    )
    diagnosis = replace(model, slices=slices, key_slices=(bright,))
    key = KeySlice(
        prediction=slices[bright],
        grey=np.full(mask.shape, 60, np.uint8),
        lung_mask=mask,
        saliency=None,
    )
    return diagnosis, key


def frame_corners_mm(seg: hd.seg.Segmentation, number: int) -> NDArray[np.float64]:
    """(4, 3): corners in patient mm of what is set in one frame of a segmentation."""
    shared, own = seg.SharedFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence
    along, down = np.array(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, float
    ).reshape(2, 3)
    row_mm, column_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    place = np.array(own[number].PlanePositionSequence[0].ImagePositionPatient, float)
    mask = seg.pixel_array[number] > 0 if seg.pixel_array.ndim == 3 else seg.pixel_array > 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array(
        [
            place + along * column_mm * (column - 0.5) + down * row_mm * (row - 0.5)
            for row in (rows[0], rows[-1] + 1)
            for column in (columns[0], columns[-1] + 1)
        ]
    )


def sorted_corners(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same corners in an order that does not depend on where one began."""
    rounded = np.unique(corners.round(3), axis=0)
    return rounded[np.lexsort(rounded.T)]


@pytest.fixture(scope="module", params=list(TABLE), ids=[name.replace(" ", "-") for name in TABLE])
def reported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    covid: PatientDiagnosis,
    make_context: Context,
) -> Path:
    """A folder with a source in `in` and its answer in `out`."""
    top = tmp_path_factory.mktemp("trip")
    volume = read_volume(write_series(top / "in", TABLE[request.param]))
    diagnosis, key = answer_about(volume, covid)
    write_outputs(diagnosis, [key], top / "out", make_context(volume))
    return top


def test_the_box_of_the_structured_report_lies_where_the_mark_was(reported: Path) -> None:
    report = hd.sr.srread(reported / "out" / "sr.dcm")
    (region,) = report.content.get_planar_roi_measurement_groups()
    found = sorted_corners(np.array(region.roi.value, float))
    # SCOORD3D is float32, about 1e-5 mm at these distances.
    np.testing.assert_allclose(found, sorted_corners(painted_mm(reported / "in")), atol=2e-3)
    assert (
        region.roi.frame_of_reference_uid
        == pydicom.dcmread(reported / "in/0.dcm")["FrameOfReferenceUID"].value
    )


def test_lungs_and_details_of_the_segmentation_lie_where_the_mark_was(reported: Path) -> None:
    seg = hd.seg.segread(reported / "out" / "seg.dcm")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [
        "Lungs",
        "Details used by the network",
    ]
    wanted = sorted_corners(painted_mm(reported / "in"))
    assert len(seg.PerFrameFunctionalGroupsSequence) == 2
    for number in range(2):
        found = sorted_corners(frame_corners_mm(seg, number))
        np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_the_box_of_the_json_lies_where_the_mark_was(reported: Path) -> None:
    volume = read_volume(reported / "in")
    answer = json.loads((reported / "out" / "result.json").read_text())
    index = answer["key_slices"][0]
    (detail,) = answer["slices"][index]["details"]
    x0, y0, x1, y1 = (edge - 0.5 for edge in detail["box"])
    corners = [(index, y, x, 1) for y in (y0, y1) for x in (x0, x1)]
    found = np.array(corners) @ volume.affine.T
    np.testing.assert_allclose(
        sorted_corners(found[:, :3]), sorted_corners(painted_mm(reported / "in")), atol=2e-3
    )


def test_every_object_refers_to_the_slices_it_speaks_of(reported: Path) -> None:
    marked = str(pydicom.dcmread(reported / "in" / f"{KEY}.dcm").SOPInstanceUID)
    everything = {str(pydicom.dcmread(file).SOPInstanceUID) for file in (reported / "in").iterdir()}
    out = {file.name: pydicom.dcmread(file) for file in (reported / "out").glob("*.dcm")}
    assert references(out["sr.dcm"]) == references(out["report.dcm"]) == everything
    assert references(out["seg.dcm"]) == references(out["key_1.dcm"]) == {marked}


def references(dataset: Dataset) -> set[str]:
    return {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }


@pytest.mark.parametrize(
    "cosines", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]], ids=["sagittal", "coronal"]
)
@pytest.mark.parametrize("slices", [12, ROWS], ids=["few-slices", "as-many-slices-as-rows"])
def test_a_source_that_was_turned_to_axial_keeps_its_places(
    cosines: list[float],
    slices: int,
    tmp_path: Path,
    covid: PatientDiagnosis,
    make_context: Context,
) -> None:
    folder = write_series(tmp_path / "in", cosines, slices=slices)
    volume = read_volume(folder)
    diagnosis, key = answer_about(volume, covid)
    write_outputs(diagnosis, [key], tmp_path / "out", make_context(volume))
    (region,) = hd.sr.srread(
        tmp_path / "out" / "sr.dcm"
    ).content.get_planar_roi_measurement_groups()
    painted = painted_mm(folder)  # a plane along z; one source slice is thick in it
    thick = int(np.ptp(painted, axis=0).argmin())
    painted = np.concatenate([painted, painted])
    painted[:4, thick] -= STEP_MM / 2
    painted[4:, thick] += STEP_MM / 2
    # The topmost bright slice of the display is the first painted row: its centre, not its edge.
    top_mm = painted[:, 2].max() - ROW_MM / 2
    found = np.array(region.roi.value, float)
    np.testing.assert_allclose(found[:, 2], top_mm, atol=2e-3)
    for side in (np.min, np.max):
        np.testing.assert_allclose(side(found[:, :2], 0), side(painted[:, :2], 0), atol=2e-3)
    seg = hd.seg.segread(tmp_path / "out" / "seg.dcm")
    np.testing.assert_allclose(
        sorted_corners(frame_corners_mm(seg, 1)), sorted_corners(found), atol=2e-3
    )
    assert len(references(pydicom.dcmread(tmp_path / "out" / "key_1.dcm"))) == slices


def test_an_oblique_source_is_flagged_so_that_no_answer_is_given(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path / "in", turned(20)))
    assert [flag.code for flag in volume.flags if flag.blocks] == ["oblique"]
