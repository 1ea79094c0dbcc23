"""A volume outlives its child, the volume of a zip too: it is unpacked again, in the same place."""

import os
import pickle
import signal
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ramp_ct import chest, save

from deeppneumonia.domain.volume import Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import UnsafeInputError, read_volume, sharing_a_child
from deeppneumonia.readers.child_slices import children
from deeppneumonia.readers.children import MAX_CHILDREN
from deeppneumonia.readers.messages import ChangedStudyError


@pytest.fixture
def packed(folder: Path) -> Path:
    return zip_of(folder)


@pytest.fixture
def unpacking_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "unpacked"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def zip_of(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return folder.with_suffix(".zip")


def kill_child(volume: Volume) -> None:
    """End the child of a volume from outside, and have that noticed."""
    child = children.of(volume.pixels)
    assert child is not None and child._handle is not None
    signal.pidfd_send_signal(child._handle, signal.SIGKILL)
    with pytest.raises(UnsafeInputError, match="no memory left"):
        volume.slice(0)


def has_its_files(volume: Volume) -> bool:
    assert volume.series is not None
    return all(file.is_file() for file in volume.series.files)


def test_many_zipped_volumes_at_once_take_turns_with_few_children(
    packed: Path, known: NDArray[np.int16], unpacking_place: Path
) -> None:
    volumes = [read_volume(packed) for _ in range(MAX_CHILDREN + 2)]
    for volume in volumes:
        np.testing.assert_array_equal(volume.array, known)
        assert has_its_files(volume)
    assert len([file for file in unpacking_place.rglob("*") if file.is_file()]) == 12 * len(volumes)
    del volumes, volume
    assert not list(unpacking_place.iterdir())


def test_after_a_crash_a_zip_is_unpacked_again_in_the_same_place(
    packed: Path, known: NDArray[np.int16], unpacking_place: Path
) -> None:
    volume = read_volume(packed)
    before = sorted(unpacking_place.rglob("*"))
    kill_child(volume)
    np.testing.assert_array_equal(volume.slice(3), known[3])
    assert sorted(unpacking_place.rglob("*")) == before and has_its_files(volume)


def test_another_zip_in_the_place_of_the_first_is_refused(folder: Path, packed: Path) -> None:
    volume = read_volume(packed)
    kill_child(volume)
    for file in folder.iterdir():  # other pixels under the same headers
        content = file.read_bytes()
        file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    zip_of(folder)
    with pytest.raises(ChangedStudyError, match="files have changed since"):
        volume.slice(0)
    packed.unlink()
    with pytest.raises(StudyError, match="nothing at the path"):
        volume.slice(0)


def test_a_forked_program_reads_on_from_a_zip_and_leaves_it_to_the_first(
    packed: Path, known: NDArray[np.int16], unpacking_place: Path
) -> None:
    volume = read_volume(packed)
    pid = os.fork()
    if pid == 0:
        same = False
        try:
            same = np.array_equal(volume.slice(2), known[2])
            del volume
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert has_its_files(volume) and len(list(unpacking_place.iterdir())) == 1
    np.testing.assert_array_equal(volume.array, known)


def test_a_copy_of_a_zipped_volume_has_files_of_its_own(
    packed: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(packed)
    copy = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(copy.slice(1), known[1])
    np.testing.assert_array_equal(volume.slice(1), known[1])
    del copy
    assert has_its_files(volume)
    np.testing.assert_array_equal(volume.slice(2), known[2])


def test_a_zip_gives_up_a_shared_child_and_is_read_on(
    packed: Path, known: NDArray[np.int16], tmp_path: Path
) -> None:
    other = save(chest(5), tmp_path / "other")
    with sharing_a_child():
        volume, second = read_volume(packed), read_volume(other)
        assert has_its_files(volume)
        np.testing.assert_array_equal(volume.array, known)
        assert len(second.array) == 5


def test_two_threads_that_need_a_new_child_unpack_once(
    packed: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(packed)
    kill_child(volume)
    found: list[bool] = []

    def look() -> None:
        found.append(all(np.array_equal(volume.slice(at), known[at]) for at in range(12)))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
