"""One study in, one diagnosis out: whatever the way in, the same numbers."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pydicom
import pytest

from deeppneumonia.domain import Status
from deeppneumonia.phantoms import PhantomConfig, make_phantom, write_nifti
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.report import write_reading


@pytest.fixture(scope="module")
def diagnoser(checkpoint: Path) -> Diagnoser:
    return Diagnoser.load(checkpoint, device="cpu")


def test_a_phantom_is_diagnosed_with_key_slices_and_its_series(
    diagnoser: Diagnoser, dicom_study: Path
) -> None:
    diagnosis = diagnoser.diagnose(dicom_study)
    assert diagnosis.status is Status.DIAGNOSED
    assert sum(diagnosis.probabilities.values()) == pytest.approx(1)
    assert 1 <= len(diagnosis.key_slices) <= 3
    assert diagnosis.quality["unit"] == "HU"
    assert diagnosis.quality["series_chosen_because"]


def test_file_names_and_zip_change_no_number(
    diagnoser: Diagnoser, dicom_study: Path, tmp_path: Path
) -> None:
    expected = diagnoser.diagnose(dicom_study).probabilities
    renamed = tmp_path / "renamed" / "deeper"
    renamed.mkdir(parents=True)
    for number, file in enumerate(sorted(dicom_study.iterdir(), reverse=True)):
        shutil.copy(file, renamed / f"IM{number:04d}")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in dicom_study.iterdir():
            archive.write(file, f"a/b/{file.name}")
    for path in (tmp_path / "renamed", packed):
        # 1e-6: the same pixels go through the same float32 operations.
        assert diagnoser.diagnose(path).probabilities == pytest.approx(expected, abs=1e-6)


def test_nifti_of_the_same_scan_gives_the_same_numbers(
    diagnoser: Diagnoser, dicom_study: Path, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomConfig(label="covid", seed=7, shape=(12, 128, 128)))
    nifti = write_nifti(phantom, tmp_path / "same.nii.gz")
    expected = diagnoser.diagnose(dicom_study).probabilities
    assert diagnoser.diagnose(nifti).probabilities == pytest.approx(expected, abs=1e-5)


def test_a_reading_becomes_all_of_its_files(
    diagnoser: Diagnoser, dicom_study: Path, tmp_path: Path
) -> None:
    reading = diagnoser.read(dicom_study)
    write_reading(reading, diagnoser.checkpoint, tmp_path / "out")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"result.json", "report.html", "report.pdf", "key_1.png", "sr.dcm", "seg.dcm"} <= names
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["probabilities"] == pytest.approx(reading.diagnosis.probabilities, abs=1e-6)


def test_no_boxes_and_no_heat_for_a_healthy_answer(diagnoser: Diagnoser, dicom_study: Path) -> None:
    reading = diagnoser.read(dicom_study)
    leading = max(reading.diagnosis.probabilities, key=reading.diagnosis.probabilities.__getitem__)
    assert all((key.saliency is None) == (leading == "healthy") for key in reading.key_slices)


@pytest.mark.parametrize("what", ["nothing", "text", "one_slice", "missing"])
def test_what_is_no_study_is_refused_with_a_reason_and_no_number(
    what: str, diagnoser: Diagnoser, dicom_study: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    if what != "missing":
        study.mkdir()
    if what == "text":
        (study / "notes.txt").write_text("no images here")
    if what == "one_slice":
        shutil.copy(next(dicom_study.iterdir()), study)
    diagnosis = diagnoser.diagnose(study)
    assert diagnosis.status is Status.REFUSED
    assert diagnosis.reasons and not diagnosis.probabilities and diagnosis.diagnosis is None


def test_a_study_with_a_gap_is_refused_in_its_own_study(
    diagnoser: Diagnoser, dicom_study: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(dicom_study, study)
    heights = {float(pydicom.dcmread(file).SliceLocation): file for file in study.iterdir()}
    heights[sorted(heights)[5]].unlink()
    reading = diagnoser.read(study)
    assert reading.diagnosis.status is Status.REFUSED and reading.volume is None
    written = write_reading(reading, diagnoser.checkpoint, tmp_path / "out")
    assert [file.name for file in written if file.suffix == ".dcm"] == ["sr.dcm", "report.dcm"]
    source, report = pydicom.dcmread(heights[max(heights)]), pydicom.dcmread(written[-2])
    assert report.StudyInstanceUID == source.StudyInstanceUID
    said = " ".join(str(element.value) for element in report.iterall() if element.VR == "UT")
    assert "slices are missing" in said


@pytest.fixture
def gap_in_the_shorter(dicom_study: Path, tmp_path: Path) -> Path:
    """A whole series, and a shorter one of the same study with a gap, `1.2.3`."""
    folder = tmp_path / "two"
    for name, uid in (("whole", None), ("gap", "1.2.3")):
        shutil.copytree(dicom_study, folder / name)
        heights = {}
        for file in (folder / name).iterdir() if uid else ():
            header = pydicom.dcmread(file)
            header.SeriesInstanceUID = uid
            header.SOPInstanceUID = f"{uid}.{header.InstanceNumber}"
            header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
            header.save_as(file)
            heights[float(header.SliceLocation)] = file
        if heights:
            heights[sorted(heights)[5]].unlink()
    return folder


@pytest.mark.parametrize(
    ("series", "reason", "about"),
    [("1.2.3", "slices are missing", "gap"), ("9.9.9", "none with the Series", None)],
)
def test_a_refusal_is_about_the_series_that_was_named(
    series: str, reason: str, about: str | None, diagnoser: Diagnoser, gap_in_the_shorter: Path
) -> None:
    reading = diagnoser.read(gap_in_the_shorter, series=series)
    assert reason in reading.diagnosis.reasons[0]
    assert {file.parent.name for file in reading.about} == ({about} if about else set())


def test_what_broke_a_limit_of_pictures_is_refused_with_its_series(
    diagnoser: Diagnoser, dicom_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPPNEUMONIA_LIMITS", "picture_pixels=99")  # headers can still be read
    reading = diagnoser.read(dicom_study)
    assert "more than a chest CT can have" in reading.diagnosis.reasons[0]
    assert {file.parent for file in reading.about} == {dicom_study}


def test_the_command_line_gives_the_numbers_of_python(
    diagnoser: Diagnoser, checkpoint: Path, dicom_study: Path
) -> None:
    command = ["diagnose", str(dicom_study), "--checkpoint", str(checkpoint), "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "deeppneumonia", *command], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    expected = diagnoser.diagnose(dicom_study)
    assert printed["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert printed["key_slices"] == list(expected.key_slices)


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["P001", "cap001", "normal001"])
def test_real_dicom_patients_get_an_answer_from_real_lungs(
    patient: str, diagnoser: Diagnoser, real_data: Path
) -> None:
    diagnosis = diagnoser.diagnose(real_data / "covid_ct_md" / "dicom" / patient)
    assert diagnosis.status is Status.DIAGNOSED
    assert 2000 < float(str(diagnosis.quality["lung_volume_ml"])) < 8000
