"""Which volume has which child process: few at a time, and as a rule a fresh one for each study."""

import threading
import weakref
from collections import OrderedDict

from deeppneumonia.readers.process import ChildProcess

MAX_CHILDREN = 8
"""Volumes that keep their child at a time."""

READS_A_CHILD = 100
"""After so many reads a shared child is replaced, whatever it may have gathered by then."""


class Children:
    """Which volume has which child, the longest unused first."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, ChildProcess] = OrderedDict()
        # Entered again by the garbage collector, which may come at any time.
        self._lock = threading.RLock()
        self._shared: ChildProcess | None = None
        self.sharing = 0

    def new(self) -> ChildProcess:
        """A fresh child, or the shared one where that was asked for."""
        with self._lock:
            if not self.sharing:
                return ChildProcess()
            shared = self._shared
            if shared is None or not shared.is_usable or shared.reads >= READS_A_CHILD:
                if shared is not None:
                    shared.close()
                shared = self._shared = ChildProcess()
            for key in [key for key, child in self._held.items() if child is shared]:
                del self._held[key]
            shared.reads += 1
            return shared

    def keep(self, pixels: object, child: ChildProcess) -> None:
        """Hold a child for a volume until the volume is gone."""
        with self._lock:
            self._held[id(pixels)] = child
            weakref.finalize(pixels, self._let_go, id(pixels), child)
            while len(self._held) > MAX_CHILDREN:
                self.done_with(self._held.popitem(last=False)[1])

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
        if child is not self._shared:
            child.close()

    def _let_go(self, key: int, child: ChildProcess) -> None:
        with self._lock:
            if self._held.get(key) is child:
                del self._held[key]
            self.done_with(child)
