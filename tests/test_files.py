"""Whole files or none."""

import resource
from pathlib import Path

import pytest

from deeppneumonia.files import replacing, sha256_of, write_together, write_whole


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "ä")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa4"


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_whole(target, "old")
    with pytest.raises(RuntimeError), replacing(target) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("together", [False, True])
def test_a_full_disk_says_what_was_written(tmp_path: Path, together: bool) -> None:
    target = tmp_path / "result.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError) as caught:
            if together:
                write_together(tmp_path, {target.name: b"more than fits"})
            else:
                write_whole(target, "more than fits")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path if together else target)
    assert list(tmp_path.iterdir()) == []


def test_what_went_wrong_is_not_lost_where_the_system_gave_it_no_number(tmp_path: Path) -> None:
    target = tmp_path / "seen.npz"
    with pytest.raises(OSError, match="100 requested and 10 written") as caught, replacing(target):
        raise OSError("100 requested and 10 written")  # as NumPy says it of a full disk
    assert caught.value.filename == str(target)


def test_a_file_is_known_by_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    write_whole(tmp_path / "abc", "abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
