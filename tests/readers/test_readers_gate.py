"""Hostile input is stopped at the door, and leaves nothing behind."""

import stat
import tempfile
import zipfile
from pathlib import Path

import pytest

from deeppneumonia.errors import StudyError
from deeppneumonia.readers import NoStudyError, UnsafeInputError, read_study
from deeppneumonia.readers.gate import admit
from deeppneumonia.readers.limits import Limits, check_voxels


@pytest.fixture(autouse=True)
def unpacking_place(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("unpacked")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def zip_of(file: Path, *members, content=b"x") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in members:
            zipped.writestr(name, content)
    return file


def test_files_of_a_folder_are_admitted_in_the_order_of_their_paths(tmp_path):
    for name in ("b", "a", ".DS_Store", "._a"):
        (tmp_path / name).write_text("x")
    assert [file.name for file in admit(tmp_path).files] == ["a", "b"]


def test_unpacked_files_live_as_long_as_their_lease(tmp_path, unpacking_place):
    admitted = admit(zip_of(tmp_path / "a.zip", "one/2", "one/1", "__MACOSX/junk"))
    assert [file.read_bytes() for file in admitted.files] == [b"x", b"x"]
    del admitted
    assert list(unpacking_place.iterdir()) == []


def test_folders_in_an_archive_may_be_parted_as_on_windows(tmp_path):
    admitted = admit(zip_of(tmp_path / "a.zip", "CT\\2", "CT\\1", "__MACOSX\\junk"))
    assert [file.name for file in admitted.files] == ["1", "2"]
    with pytest.raises(UnsafeInputError, match="same name"):
        admit(zip_of(tmp_path / "b.zip", "CT\\1", "CT/1"))


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:/evil", "a\\..\\evil"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path, unpacking_place, name):
    archive = zip_of(tmp_path / "a.zip", "good", name)
    with pytest.raises(UnsafeInputError, match="leads out of"):
        admit(archive)
    assert list(unpacking_place.iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeInputError, match="symbolic link"):
        admit(tmp_path / "a.zip")


def test_links_in_a_folder_are_not_followed_and_counted(tmp_path):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "link").symlink_to("/etc/passwd")
    (tmp_path / "ct" / "loop").symlink_to(tmp_path)
    assert admit(tmp_path / "ct").links == 2
    with pytest.raises(NoStudyError, match="2 symbolic links, which are not followed"):
        read_study(tmp_path / "ct")


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(files=2), "3 files|more than 2 files"),
        (Limits(depth=1), "nested deeper"),
        (Limits(file_bytes=500), "MB"),
        (Limits(total_bytes=2500), "MB"),
    ],
    ids=["files", "depth", "one file", "all files"],
)
def test_folders_and_archives_have_the_same_limits(tmp_path, limits, match):
    names = ["a/1", "a/b/2", "a/b/3"]
    archive = zip_of(tmp_path / "a.zip", *names, content=bytes(1000))
    for name in names:
        (tmp_path / "ct" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ct" / name).write_bytes(bytes(1000))
    for path in (archive, tmp_path / "ct"):
        assert len(admit(path).files) == 3
        with pytest.raises(UnsafeInputError, match=match):
            admit(path, limits)


def test_an_archive_that_grows_without_measure_is_not_unpacked(tmp_path, unpacking_place):
    archive = zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("zeros", "w") as sink:
        for _ in range(260):
            sink.write(bytes(1024 * 1024))
    with pytest.raises(UnsafeInputError, match=r"grow .* times"):
        admit(tmp_path / "a.zip")
    assert list(unpacking_place.iterdir()) == []


def test_two_files_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = zip_of(tmp_path / "a.zip", "a", "a")
    with pytest.raises(UnsafeInputError, match="same name"):
        admit(archive)


def test_damaged_and_encrypted_archives_are_refused_by_name(tmp_path):
    archive = zip_of(tmp_path / "a.zip", "a", content=b"some pixels")
    content = bytearray(archive.read_bytes())
    encrypted = content.copy()
    encrypted[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(encrypted)
    with pytest.raises(StudyError, match="encrypted"):
        admit(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(content[:-10])
    with pytest.raises(StudyError, match="damaged"):
        admit(tmp_path / "c.zip")


def test_pictures_larger_than_any_ct_are_refused_before_decoding():
    for shape in [(800, 1024, 1024), (1500, 1024, 1024), (1000, 2048, 2048)]:  # 0.2 mm slices
        check_voxels(*shape)
    for shape in [(6000, 512, 512), (1, 5000, 5000), (1100, 2048, 2048)]:
        with pytest.raises(UnsafeInputError, match="more than a chest CT"):
            check_voxels(*shape)
    with pytest.raises(StudyError, match="empty picture"):
        check_voxels(0, 512, 512)
