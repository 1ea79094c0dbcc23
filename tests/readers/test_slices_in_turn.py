"""Slices are handed out in turn, and other things may be read in between: right numbers, no wait.

What could wait for ever runs in a thread of its own, so that a fault fails here and hangs nothing.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ramp_ct import chest, save

from deeppneumonia.domain.volume import Volume
from deeppneumonia.readers import read_volume, sharing_a_child, study
from deeppneumonia.readers.child_slices import children
from deeppneumonia.readers.process import ChildProcess

LONG_S = 60.0
"""Many times what any of these takes, however busy the machine is."""


def in_time(work: Callable[[], None]) -> None:
    """Run what may hang; its error is raised here."""
    errors: list[BaseException] = []

    def caught() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


def child_of(volume: Volume) -> ChildProcess:
    child = children.of(volume.pixels)
    assert child is not None
    return child


def test_a_slice_may_be_read_while_others_come_in_turn(
    folder: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(folder)

    def look() -> None:
        for index, pixels in enumerate(volume.slices(range(12))):
            np.testing.assert_array_equal(pixels, known[index])
            np.testing.assert_array_equal(volume.slice(11 - index), known[11 - index])
            inner = zip((3, 4), volume.slices([3, 4]), strict=True)
            assert all(np.array_equal(one, known[at]) for at, one in inner)

    child = child_of(volume)
    in_time(look)
    assert child_of(volume) is child


def test_another_thread_need_not_wait_until_all_slices_have_come(
    folder: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(folder)
    turns = volume.slices(range(12))
    next(turns)
    in_time(lambda: np.testing.assert_array_equal(volume.slice(7), known[7]))
    np.testing.assert_array_equal(list(turns), known[1:])


def test_a_child_that_another_thread_has_retired_is_replaced(
    folder: Path, known: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(folder)
    found = children.of

    def retired(pixels: object) -> ChildProcess | None:
        monkeypatch.undo()
        child = found(pixels)
        assert child is not None and child.retire()
        return child

    monkeypatch.setattr(children, "of", retired)
    np.testing.assert_array_equal(list(volume.slices(range(12))), known)


def test_a_child_is_not_retired_between_two_slices_and_replaced_if_it_ends(
    folder: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(folder)
    turns = volume.slices(range(12))
    seen = [next(turns)]
    assert not child_of(volume).retire()
    child_of(volume).close()
    np.testing.assert_array_equal([*seen, *turns], known)
    assert child_of(volume).retire()


def test_what_was_left_unread_is_not_taken_for_the_next_slice(
    folder: Path, known: NDArray[np.int16]
) -> None:
    volume = read_volume(folder)
    for _ in volume.slices(range(6)):
        break
    np.testing.assert_array_equal(volume.slice(9), known[9])


def test_an_interrupted_read_does_not_shift_the_slices_after_it(
    folder: Path, known: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(folder)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChildProcess, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        volume.slice(2)
    monkeypatch.undo()
    np.testing.assert_array_equal(volume.slice(9), known[9])


def test_other_studies_may_be_read_between_slices_where_a_child_is_shared(
    folder: Path, known: NDArray[np.int16], tmp_path: Path
) -> None:
    other = save(chest(5, intercept=-900), tmp_path / "other")
    others = study.read_volume(other).array

    def look() -> None:
        with sharing_a_child():
            volume = read_volume(folder)
            for index, pixels in enumerate(volume.slices(range(12))):
                np.testing.assert_array_equal(pixels, known[index])
                np.testing.assert_array_equal(read_volume(other).array, others)

    in_time(look)
