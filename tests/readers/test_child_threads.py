"""Reading processes under threads, and where one cannot be had: right numbers, or a typed error."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ramp_ct import chest, save

from deeppneumonia.readers import (
    UnsafeInputError,
    limits,
    process,
    read_volume,
    sharing_a_child,
    study,
)
from deeppneumonia.readers.children import MAX_CHILDREN
from deeppneumonia.readers.process import ReadingProcessError, start_template


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in as many threads at once; the first error of any of them is raised."""
    errors: list[BaseException] = []

    def caught(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=caught, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_more_threads_than_children_all_get_their_slices(folder: Path) -> None:
    known = study.read_volume(folder).array

    def look(_: int) -> None:
        volume = read_volume(folder)
        for index in range(6):
            np.testing.assert_array_equal(volume.slice(index), known[index])

    in_threads(MAX_CHILDREN + 4, look)


def test_threads_that_share_do_not_get_each_others_slices(folder: Path, tmp_path: Path) -> None:
    short = save(chest(5), tmp_path / "short")
    known = [study.read_volume(place).array for place in (folder, short)]

    def look(number: int) -> None:
        with sharing_a_child():
            for _ in range(10):
                found = read_volume((folder, short)[number]).array
                np.testing.assert_array_equal(found, known[number])

    in_threads(2, look)


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process that does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_reader_that_never_starts_is_an_error_with_a_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_volume(folder)
    monkeypatch.setattr(process, "START_S", 0.2)
    with (
        halted(start_template()._process.pid),
        pytest.raises(ReadingProcessError, match="doctor`, or read without its protection"),
    ):
        read_volume(folder)


def test_a_reader_that_stops_answering_is_stopped_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = start_template()._process.pid
    listed = Path(f"/proc/{template}/task/{template}/children")
    before = set(listed.read_text().split())
    volume = read_volume(folder)
    (child,) = set(listed.read_text().split()) - before
    monkeypatch.setattr(limits, "WAITING_S", -15.0)  # five times 3 s of processor come on top
    os.kill(int(child), signal.SIGSTOP)
    with pytest.raises(UnsafeInputError, match=r"took longer than .* s: .*stopped answering"):
        volume.slice(0)
    monkeypatch.undo()
    np.testing.assert_array_equal(volume.slice(0), study.read_volume(folder).slice(0))
