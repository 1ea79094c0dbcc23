"""The validator of dicom3tools finds no error in what we write, whatever the source was like."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pydicom
import pytest

from deeppneumonia.domain import KeySlice, PatientDiagnosis, QualityFlag, Volume
from deeppneumonia.readers import read_volume
from deeppneumonia.reports import ReportContext, write_outputs

Context = Callable[[Volume | None], ReportContext]
needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed"
)
KNOWN_WARNINGS = (
    # The tool knows the standard's own coding schemes only; a private one is allowed (PS3.16 8.2).
    "Unrecognized defined term = <99DEEPPNEUMONIA>",
    # The source does not say when it was made; we do not invent it. The attribute may be empty.
    "Missing attribute or value that would be needed to build DICOMDIR",
)

SOURCES: dict[str, dict[str, object]] = {
    "usual": {},
    "western": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
    "japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
    },
    "undeclared-latin": {"PatientName": "Müller^Jörg".encode("latin-1")},
    "undeclared-utf-8": {"PatientName": "Müller^Jörg".encode()},
    "misspelt-character-set": {"SpecificCharacterSet": "ISO IR 100"},
    "broken-patient": {"PatientAge": "39", "PatientSex": "female", "StudyID": "", "StudyDate": ""},
    "no-frame-of-reference": {"FrameOfReferenceUID": ""},
}


def beside(name: str) -> ModuleType:
    """A test module of this folder, for the series that it can write."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


series = beside("test_report_dicom")


def findings(file: Path) -> list[str]:
    done = subprocess.run(
        ["dciodvfy", "-new", str(file)], capture_output=True, text=True, errors="replace"
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [
        f"{file.name}: {line}"
        for line in lines
        if line.startswith(("Error", "Warning")) and not line.endswith(KNOWN_WARNINGS)
    ]


@needs_dciodvfy
@pytest.mark.parametrize("source", list(SOURCES))
def test_no_object_has_an_error(
    source: str, tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    with pydicom.config.disable_value_validation():
        folder = series.write_series(tmp_path / "in", **SOURCES[source])
    long_code = QualityFlag("implausible_lung_volume", "The lungs hold 0.4 litres.")
    diagnosis, keys = series.answer_of(False, replace(covid, flags=(*covid.flags, long_code)))
    written = write_outputs(diagnosis, keys, tmp_path / "out", make_context(read_volume(folder)))
    objects = [path for path in written if path.suffix == ".dcm"]
    assert len(objects) == (5 if source == "no-frame-of-reference" else 6)
    assert [line for path in objects for line in findings(path)] == []


@needs_dciodvfy
def test_a_multi_frame_source_has_no_error(
    tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    merged = series.hd.legacy.LegacyConvertedEnhancedCTImage(
        [series.ct_slice(number) for number in range(9)],
        "1.2.826.0.1.99.5", 5, "1.2.826.0.1.99.6", 1,
    )  # fmt: skip
    (tmp_path / "in").mkdir()
    merged.save_as(tmp_path / "in" / "all.dcm")
    diagnosis, keys = series.answer_of(False, covid)
    diagnosis = replace(diagnosis, slices=diagnosis.slices[:9], key_slices=(4, 2))
    context = make_context(read_volume(tmp_path / "in"))
    written = write_outputs(diagnosis, [keys[0], keys[2]], tmp_path / "out", context)
    assert [line for path in written if path.suffix == ".dcm" for line in findings(path)] == []


@needs_dciodvfy
def test_a_refusal_has_no_error(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    volume = read_volume(series.write_series(tmp_path / "in"))
    written = write_outputs(refused, (), tmp_path / "out", make_context(volume))
    assert [line for path in written if path.suffix == ".dcm" for line in findings(path)] == []


def test_a_name_in_several_character_sets_is_kept(
    tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    folder = series.write_series(tmp_path / "in", **SOURCES["japanese"])
    write_outputs(refused, (), tmp_path / "out", make_context(read_volume(folder)))
    for name in ("sr.dcm", "report.dcm"):
        kept = pydicom.dcmread(tmp_path / "out" / name)
        assert str(kept.PatientName) == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize("source", ["western", "undeclared-latin", "undeclared-utf-8"])
def test_a_name_is_readable_whether_its_character_set_was_declared_or_not(
    source: str, tmp_path: Path, refused: PatientDiagnosis, make_context: Context
) -> None:
    with pydicom.config.disable_value_validation():
        folder = series.write_series(tmp_path / "in", **SOURCES[source])
    write_outputs(refused, (), tmp_path / "out", make_context(read_volume(folder)))
    for name in ("sr.dcm", "report.dcm"):
        kept = pydicom.dcmread(tmp_path / "out" / name)
        assert (kept.SpecificCharacterSet, str(kept.PatientName)) == ("ISO_IR 192", "Müller^Jörg")


LONG = ("肺炎", "viral_pneumonia_influenza", "viral_pneumonia_other")


@pytest.fixture
def own_words(covid: PatientDiagnosis) -> tuple[PatientDiagnosis, list[KeySlice]]:
    """An answer in a hospital's own labels, two of which begin alike."""
    diagnosis, keys = series.answer_of(False, covid)

    def renamed(old: Mapping[str, float]) -> dict[str, float]:
        return dict(zip(LONG, old.values(), strict=True))

    slices = tuple(replace(s, probabilities=renamed(s.probabilities)) for s in diagnosis.slices)
    diagnosis = replace(
        diagnosis,
        slices=slices,
        probabilities=renamed(diagnosis.probabilities),
        diagnosis=LONG[0],
    )
    return diagnosis, [replace(k, prediction=slices[k.prediction.slice_index]) for k in keys]


def test_labels_of_a_hospital_keep_their_words_and_codes_of_their_own(
    own_words: tuple[PatientDiagnosis, list[KeySlice]], tmp_path: Path, make_context: Context
) -> None:
    volume = read_volume(series.write_series(tmp_path / "in"))
    write_outputs(*own_words, tmp_path / "out", make_context(volume))
    report = series.hd.sr.srread(tmp_path / "out" / "sr.dcm")
    names = [
        one.name for one in report.content.get_image_measurement_groups()[0].get_measurements()
    ]
    assert [name.meaning for name in names] == [f"Probability of {label}" for label in LONG]
    assert len({name.value for name in names}) == len(LONG)
    if shutil.which("dciodvfy"):
        assert findings(tmp_path / "out" / "sr.dcm") == []


@pytest.mark.parametrize("text", ["YES", "NO"])
def test_all_objects_say_the_same_of_the_patient_and_of_text_in_the_pictures(
    text: str, tmp_path: Path, covid: PatientDiagnosis, make_context: Context
) -> None:
    said = {
        "IssuerOfPatientID": "HOSPITAL_A", "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "by hand", "StudyDescription": "Chest",
    }  # fmt: skip
    folder = series.write_series(tmp_path / "in", BurnedInAnnotation=text, **said)
    volume = read_volume(folder)
    diagnosis, keys = series.answer_of(False, covid)
    diagnosis = replace(diagnosis, flags=volume.flags)
    written = write_outputs(diagnosis, keys, tmp_path / "out", make_context(volume))
    objects = {path.name: pydicom.dcmread(path) for path in written if path.suffix == ".dcm"}
    for dataset in objects.values():
        assert {keyword: dataset.get(keyword) for keyword in said} == said
    with_pictures = ["key_1.dcm", "key_2.dcm", "key_3.dcm", "report.dcm"]
    assert {objects[name].BurnedInAnnotation for name in with_pictures} == {text}


@needs_dciodvfy
@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["P001", "cap001", "normal001"])
def test_objects_about_real_scans_have_no_error(
    patient: str,
    real_data: Path,
    tmp_path: Path,
    covid: PatientDiagnosis,
    draw_keys: Callable[[PatientDiagnosis], tuple[KeySlice, ...]],
    make_context: Context,
) -> None:
    volume = read_volume(real_data / "covid_ct_md" / "dicom" / patient)
    slices = tuple(one for one in covid.slices if one.slice_index < len(volume))
    diagnosis = replace(covid, slices=slices)
    written = write_outputs(diagnosis, draw_keys(diagnosis), tmp_path / "out", make_context(volume))
    objects = [path for path in written if path.suffix == ".dcm"]
    assert len(objects) == 6
    assert [line for path in objects for line in findings(path)] == []
