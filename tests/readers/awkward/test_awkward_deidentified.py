"""Awkward series without their patient are still read right, voxel by voxel."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from ramp_ct import chest, save, with_tags
from readable import READABLE, Readable

from deeppneumonia.readers import deidentify, read_volume
from deeppneumonia.readers.clean_copy import EMPTIED, ENTERED, KEPT, RENAMED, pseudonym

KEY = bytes(range(32))
ADDED = (
    "PatientID PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence "
    "LongitudinalTemporalInformationModified CodeValue CodingSchemeDesignator CodeMeaning"
)
ALLOWED = set(" ".join((KEPT, RENAMED, ENTERED, EMPTIED, ADDED)).split())
PLANTED = "Zyxw^Planted"


def deidentified(folder: Path, target: Path) -> list[Path]:
    """All files at a path, as the server hands them over; returns the copies."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    target.mkdir()
    return [copy for copies in deidentify(files, KEY, target) for copy in copies]


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_the_pixels_and_their_places_stay(case: Readable, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    case.write(tmp_path / "in")
    before = read_volume(tmp_path / "in")
    assert deidentified(tmp_path / "in", tmp_path / "out")
    after = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(after.array, before.array)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert [flag.code for flag in after.flags] == [flag.code for flag in before.flags]


def named(folder: Path) -> Path:
    """A chest with a name in every corner of its headers."""
    slices = with_tags(
        chest(),
        PatientName=PLANTED,
        PatientID="PLANTED-4711",
        PatientComments=PLANTED,
        OtherPatientIDs="PLANTED-4712",
        InstitutionName="Planted Hospital",
        StudyDescription=f"Chest of {PLANTED}",
        ImageComments=PLANTED,
        StationName="PLANTED",
        StudyDate="20250228",
        ContrastBolusAgent=PLANTED,
    )
    for one in slices:
        request = Dataset()
        request.RequestedProcedureDescription = PLANTED
        one.RequestAttributesSequence = Sequence([request])
        one.add_new(0x00091001, "LO", PLANTED)
        one.add_new(0x60003000, "OB", PLANTED.encode())
        one.preamble = PLANTED.encode().ljust(128, b"\0")
    return save(slices, folder)


def test_nothing_is_kept_that_is_not_needed(tmp_path: Path) -> None:
    copies = deidentified(named(tmp_path / "in"), tmp_path / "out")
    assert len(copies) == len(list((tmp_path / "in").iterdir()))
    for copy in copies:
        raw = copy.read_bytes().lower()
        assert b"plant" not in raw and b"zyxw" not in raw and b"20250228" not in raw
        dataset = pydicom.dcmread(copy)
        assert {element.keyword for element in dataset.iterall()} <= ALLOWED
        assert dataset.PatientIdentityRemoved == "YES" and dataset.StudyDate == ""
        assert dataset.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert len(str(dataset.SOPInstanceUID)) <= 64


def test_pseudonyms_are_always_the_same_and_need_the_key(tmp_path: Path) -> None:
    source = named(tmp_path / "in")
    first = deidentified(source, tmp_path / "first")
    second = deidentified(source, tmp_path / "second")
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    before = pydicom.dcmread(sorted(source.iterdir())[0])
    after = pydicom.dcmread(first[0])
    assert after.StudyInstanceUID == pseudonym(before.StudyInstanceUID, KEY)
    assert after.StudyInstanceUID != pseudonym(before.StudyInstanceUID, bytes(32))
    assert len({pydicom.dcmread(one).StudyInstanceUID for one in first}) == 1
    assert len({pydicom.dcmread(one).PatientID for one in first}) == 1


def test_what_is_no_ct_image_has_no_copy(tmp_path: Path) -> None:
    folder = save(with_tags(chest(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), tmp_path / "in")
    (folder / "readme.txt").write_text(PLANTED)
    (folder / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x05")
    assert deidentified(folder, tmp_path / "out") == []
    assert list((tmp_path / "out").iterdir()) == []
