"""A function over many tasks, on all cores, in the order of the tasks."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import cv2

from deeppneumonia.errors import DeepPneumoniaError

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerKilledError(DeepPneumoniaError):
    """A process that had a part of the tasks is gone."""

    def __init__(self) -> None:
        super().__init__(
            "A process that worked on the studies was killed, as systems do where memory is short: "
            "close other programs, and give the same command again."
        )


def over_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Generator[Result, None, None]:
    """The results in the order of the tasks; in this very process when one worker is enough.

    The processes are spawned, so `function` must be importable and tasks must pickle. Whoever may
    stop before the last result closes the iterator, which waits for the tasks in hand only.

    Raises:
        WorkerKilledError: one of the processes was ended from outside.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
        try:
            with _without_interrupts():  # it is here that the processes are started
                results = pool.map(function, tasks)
            yield from results
        except BrokenProcessPool as error:
            raise WorkerKilledError from error


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches a whole group of processes: those started here leave it to this one.

    A blocked signal stays blocked in a new program; this one gets it at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
