"""A part of the attacks of `benchmarks/hostile_files.py`: whatever comes, a volume or a refusal."""

import tempfile
from pathlib import Path

import honest_files
import hostile_files
import pydicom
import pytest

from deeppneumonia.errors import StudyError
from deeppneumonia.readers import UnsafeInputError, read_volume
from deeppneumonia.readers.messages import UnforeseenInputError

BIG_TO_MAKE = ("deflated-400", "deflated-900", "flat-", "nested.zip", "bomb-", "many")
PICKED = {
    hostile_files.cut_short: 40,
    hostile_files.flipped: 16,
    hostile_files.evil_values: 9,
    hostile_files.broken_streams: 6,
    hostile_files.bombs: 2,
    hostile_files.evil_archives: 3,
    hostile_files.evil_volumes: 4,
    hostile_files.evil_pictures: 1,
    hostile_files.polyglots: 1,
}
"""Of each family every so manieth file is tried here."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for the file, beside a canary and a folder for temporary files."""
    for name in ("study", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "canary").write_text("untouched")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def outcome_of(content: bytes, name: str, place: Path) -> str:
    """`read` or the refusal, after every slice was asked for; anything else is a failed test."""
    file = place / "study" / name
    file.write_bytes(content)
    try:
        volume = read_volume(file)
        volume.slice(0), volume.slice(len(volume) - 1)
        outcome = "read"
        del volume
    except UnforeseenInputError:
        raise
    except StudyError as refusal:
        assert str(refusal) and "SECRET" not in str(refusal) and "Doe" not in str(refusal)
        outcome = type(refusal).__name__
    assert file.read_bytes() == content
    file.unlink()
    return outcome


@pytest.mark.parametrize("name", honest_files.HONEST)
def test_what_an_attacker_starts_from_is_read(name, place):
    assert outcome_of(honest_files.HONEST[name](), name, place) == "read"


@pytest.mark.parametrize("family", PICKED, ids=lambda family: family.__name__)
def test_no_file_gets_anything_but_a_volume_or_a_refusal(family, place):
    made = [attack for attack in family() if not attack[0].startswith(BIG_TO_MAKE)]
    for name, make in made[:: PICKED[family]]:
        outcome_of(make(), name, place)
    assert sorted(p.name for p in place.rglob("*")) == ["canary", "study", "tmp"]
    assert not Path("/tmp/evil").exists()


ARCHIVES, BOMBS = hostile_files.evil_archives, hostile_files.bombs
VALUES, VOLUMES, POLYGLOTS = (
    hostile_files.evil_values,
    hostile_files.evil_volumes,
    hostile_files.polyglots,
)
NAMED = {
    "zip bomb, flat": (ARCHIVES, "flat-300.zip", "UnsafeInputError"),
    "zip bomb, nested": (ARCHIVES, "nested.zip", "NoStudyError"),
    "zip bomb, overlapping": (ARCHIVES, "overlapping.zip", "UnsafeInputError"),
    "zip that lies": (ARCHIVES, "lying-1-ffffffff.zip", "UnsafeInputError"),
    "traversal": (ARCHIVES, "name-1.zip", "UnsafeInputError"),
    "symbolic link": (ARCHIVES, "link-11.zip", "UnsafeInputError"),
    "encrypted": (ARCHIVES, "encrypted-8.zip", "StudyError"),
    "encrypted by AES": (ARCHIVES, "encrypted-99.zip", "StudyError"),
    "JPEG 2000 of 800 MB": (BOMBS, "jpeg2000-of-20000-90.dcm", "StudyError"),
    "deflated bomb": (BOMBS, "deflated-400.dcm", "UnsafeInputError"),
    "element of 4 GB": (BOMBS, "pixels-fffffffe.dcm", "UnsafeInputError"),
    "sequences nested 1,000 deep": (BOMBS, "nested-1000-True.dcm", "UnsafeInputError"),
    "sequences nested 20,000 deep": (BOMBS, "nested-20000-True.dcm", "UnsafeInputError"),
    "2^31 frames": (BOMBS, "frames-2147483647.dcm", "UnsafeInputError"),
    "Rows = 65535": (BOMBS, "rows-65535-65535.dcm", "UnsafeInputError"),
    "spacing NaN": (VALUES, "PixelSpacing-3.dcm", "StudyError"),
    "zero cosines": (VALUES, "ImageOrientationPatient-1.dcm", "OrientationError"),
    "slope 0": (VALUES, "RescaleSlope-1.dcm", "MissingRescaleError"),
    "intercept 1e300": (VALUES, "RescaleIntercept-6.dcm", "MissingRescaleError"),
    "UID with ../../": (VALUES, "SeriesInstanceUID-text0.dcm", "read"),
    "polyglot": (POLYGLOTS, "dicom-and-zip.dcm", "StudyError"),
    "gz bomb in NIfTI": (VOLUMES, "bomb-800.nii.gz", "UnsafeInputError"),
}


@pytest.mark.parametrize("case", NAMED)
def test_every_attack_that_was_asked_for_has_its_outcome(case, place):
    family, name, outcome = NAMED[case]
    assert outcome_of(dict(family())[name](), name, place) == outcome
    assert sorted(p.name for p in place.rglob("*")) == ["canary", "study", "tmp"]


def test_a_deflated_bomb_ends_at_the_limit_of_memory(place, monkeypatch):
    monkeypatch.setenv("DEEPPNEUMONIA_LIMITS", "memory_bytes=64e6")
    file = place / "study" / "bomb.dcm"
    file.write_bytes(dict(hostile_files.bombs())["deflated-100.dcm"]())
    with pytest.raises(UnsafeInputError, match="more memory than is allowed"):
        read_volume(file)


@pytest.mark.parametrize("at", range(6))
def test_test_files_of_pydicom_are_read_or_refused(at, place):
    folder = Path(pydicom.__file__).parent / "data"
    files = [
        f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix not in (".py", ".pyc")
    ]
    for file in files[at::12]:
        outcome_of(file.read_bytes(), file.name, place)


def test_what_the_fuzzer_found_stays_found(place):
    """See `fuzz/fuzz_readers.py`: the first byte of a finding chooses the kind of file."""
    kinds = ("a.dcm", "a.nii", "a.nii.gz", "a.png", "a.jpg", "a.zip", "a")
    for finding in sorted((Path(__file__).parent / "regressions").glob("crash-*")):
        raw = finding.read_bytes()
        if raw[0] % 8 < len(kinds):
            outcome_of(raw[1:], kinds[raw[0] % 8], place)
