"""The picture store: what was vouched for survives a killed writer, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from deeppneumonia.datasets.picture_store import Outcome, PictureStore

CONTENT = {"version": 1}


def grey(level: int, count: int = 1) -> np.ndarray:
    return np.full((count, 8, 8), level, np.uint8)


def filled(folder: Path) -> None:
    with PictureStore(folder, 8, CONTENT) as store:
        store.append("a", Outcome([4, 9], [(1, "little lung")]), grey(10, count=2))
        store.append("b", Outcome([], [], "no lungs"), grey(0, count=0))
        store.append("c", Outcome([0], []), grey(30))


def test_pictures_are_found_again_with_their_outcomes(tmp_path: Path) -> None:
    filled(tmp_path)
    with PictureStore(tmp_path, 8, CONTENT) as store:
        assert store.known["a"].outcome == Outcome((4, 9), ((1, "little lung"),))
        assert store.known["b"].outcome.refused == "no lungs"
        assert [store.pictures()[row, 0, 0] for row in (0, 1, 2)] == [10, 10, 30]
        assert store.known["c"].first == 2
    assert np.load(tmp_path / "pictures.npy", mmap_mode="r").shape == (3, 8, 8)


def test_what_may_pass_is_known_for_one_opening_only(tmp_path: Path) -> None:
    with PictureStore(tmp_path, 8, CONTENT) as store:
        store.append("a", Outcome([], [], "no memory", may_pass=True), grey(0, count=0))
        assert store.known["a"].outcome.refused == "no memory"
    with PictureStore(tmp_path, 8, CONTENT) as store:
        assert not store.known


@pytest.mark.parametrize(
    ("file", "bytes_lost", "left"),
    [("journal.jsonl", 1, ["a", "b"]), ("pictures.npy", 1, ["a", "b"]), ("pictures.npy", 65, [])],
    ids=["half a journal line", "half a picture", "the pictures of two studies"],
)
def test_what_was_cut_off_is_made_again(
    tmp_path: Path, file: str, bytes_lost: int, left: list[str]
) -> None:
    filled(tmp_path)
    damaged = tmp_path / file
    damaged.write_bytes(damaged.read_bytes()[:-bytes_lost])
    with PictureStore(tmp_path, 8, CONTENT) as store:
        assert list(store.known) == left
        store.append("d", Outcome([7], []), grey(70))
    with PictureStore(tmp_path, 8, CONTENT) as store:
        assert list(store.known) == [*left, "d"]
        assert store.pictures()[store.known["d"].first, 0, 0] == 70


def test_pictures_that_nothing_vouches_for_are_written_over(tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / "pictures.npy").open("ab") as file:
        file.write(b"\xff" * 40)
    with PictureStore(tmp_path, 8, CONTENT) as store:
        store.append("d", Outcome([7], []), grey(70))
        assert store.pictures()[3].max() == 70


def test_a_store_for_other_content_is_begun_anew_and_leaves_old_readers_alone(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    old = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    with PictureStore(tmp_path, 8, {"version": 2}) as store:
        assert not store.known
        assert store.pictures().shape == (0, 8, 8)
    assert old[2, 0, 0] == 30


def test_pictures_of_another_size_are_a_programmers_mistake(tmp_path: Path) -> None:
    with PictureStore(tmp_path, 8, CONTENT) as store, pytest.raises(ValueError, match="announced"):
        store.append("a", Outcome([0], []), np.zeros((1, 9, 9), np.uint8))
