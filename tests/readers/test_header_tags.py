"""Single header values are read by a child process too; a file that breaks it breaks no more."""

from pathlib import Path

import honest_files
import hostile_files
import pytest

from deeppneumonia.readers import read_tags
from deeppneumonia.readers.limits import VARIABLE

WANTED = ("StudyInstanceUID", "TransferSyntaxUID", "PixelSpacing", "KVP")


@pytest.fixture
def honest(tmp_path: Path) -> Path:
    file = tmp_path / "honest.dcm"
    file.write_bytes(honest_files.HONEST["explicit.dcm"]())
    return file


def test_tags_come_as_text_and_what_is_missing_is_blank(honest: Path) -> None:
    (found,) = read_tags([honest], WANTED)
    assert found == {
        "StudyInstanceUID": "1.2.3",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        "PixelSpacing": "8.0\\8.0",
        "KVP": "",
    }


@pytest.mark.parametrize("name", ["implicit.dcm", "big.dcm", "deflated.dcm", "enhanced.dcm"])
def test_tags_are_the_same_however_the_file_is_written(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(honest_files.HONEST[name]())
    (found,) = read_tags([file], WANTED)
    assert found is not None and found["StudyInstanceUID"] == "1.2.3"


def test_what_is_no_dicom_has_no_tags_and_the_others_are_read(honest: Path) -> None:
    picture = honest.with_name("a.png")
    picture.write_bytes(honest_files.HONEST["slice.png"]())
    found = read_tags([picture, honest.with_name("absent"), honest.parent, honest], WANTED)
    assert found[:3] == [None, None, None] and found[3] is not None


def test_a_header_that_ends_its_reader_costs_only_itself(
    honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "seconds=1 bytes_per_second=1e12")
    bomb = honest.with_name("bomb.dcm")
    bomb.write_bytes(dict(hostile_files.bombs())["many-items.dcm"]())
    found = read_tags([honest, bomb, honest], WANTED)
    assert found[1] is None
    assert found[0] is not None and found[0] == found[2]
