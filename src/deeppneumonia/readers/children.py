"""Which volume has which child process: few at a time, and as a rule a fresh one for each study."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from deeppneumonia.readers.process import ChildProcess

MAX_CHILDREN = 8
"""Volumes that keep their child at a time."""

READS_A_CHILD = 100
"""After so many reads a shared child is replaced, whatever it may have gathered by then."""


class _Sharing(threading.local):
    """Each thread's own: two that asked one child in turn would get each other's slices."""

    blocks = 0
    """How many blocks that share stand inside each other just now."""

    child: ChildProcess | None = None


class Children:
    """Which volume has which child, the longest unused first."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, ChildProcess] = OrderedDict()
        # Entered again by the garbage collector, which may come at any time.
        self._lock = threading.RLock()
        self._here = _Sharing()

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Reads of this thread in this block share one child."""
        self._here.blocks += 1
        try:
            yield
        finally:
            self._here.blocks -= 1

    def new(self) -> ChildProcess:
        """A fresh child, or the one that this thread shares where that was asked for."""
        return self._shared() if self._here.blocks else ChildProcess()

    def _shared(self) -> ChildProcess:
        shared = self._here.child
        if shared is not None and shared.is_usable and not shared.is_idle:
            self._left_to_its_volume(shared)
            shared = None
        if shared is None or not shared.is_usable or shared.reads >= READS_A_CHILD:
            if shared is not None:
                shared.close()
            shared = self._here.child = ChildProcess(shared=True)
        with self._lock:
            for key in [key for key, child in self._held.items() if child is shared]:
                del self._held[key]
        shared.reads += 1
        return shared

    def _left_to_its_volume(self, shared: ChildProcess) -> None:
        """A child that is in the middle of a volume's slices may not be given another volume."""
        with self._lock:
            shared.shared = False
            if shared not in self._held.values():
                shared.close()

    def keep(self, pixels: object, child: ChildProcess) -> None:
        """Hold a child for a volume until the volume is gone."""
        with self._lock:
            self._held[id(pixels)] = child
            weakref.finalize(pixels, self._let_go, id(pixels), child)
            self._retire_some()

    def _retire_some(self) -> None:
        """End those unused for longest; not one that another thread is waiting for."""
        for key, child in list(self._held.items())[:-1]:
            if len(self._held) <= MAX_CHILDREN:
                return
            if child.shared or child.retire():
                del self._held[key]

    def of(self, pixels: object) -> ChildProcess | None:
        """The child of a volume; None where it has none, or its child has ended."""
        with self._lock:
            child = self._held.get(id(pixels))
            if child is None or not child.is_usable:
                return None
            self._held.move_to_end(id(pixels))
            return child

    def done_with(self, child: ChildProcess) -> None:
        """End a child, unless others share it."""
        if not child.shared:
            child.close()

    def _let_go(self, key: int, child: ChildProcess) -> None:
        with self._lock:
            if self._held.get(key) is child:
                del self._held[key]
            self.done_with(child)
