"""The pixels of a volume that a child process reads, and a new one where that has ended."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.readers.children import Children
from deeppneumonia.readers.limits import UnsafeInputError
from deeppneumonia.readers.messages import PIXEL_TYPES, ChangedStudyError, Said, error_heard
from deeppneumonia.readers.orders import Order, open_in
from deeppneumonia.readers.process import Answer, ChildProcess

children = Children()
"""Of this program."""


@dataclass(frozen=True, eq=False)
class ChildSlices:
    """The pixels of a volume that a child process holds open."""

    order: Order
    shape: tuple[int, int, int]
    digest: str
    """Of what the child said of the volume."""

    def read(self, index: int) -> NDArray[Any]:
        """Slice `index`; StudyError when it is damaged, too costly, or has changed since."""
        return next(self.read_ahead([index]))

    def read_ahead(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Slices in turn, as `read` gives them; the child decodes the next one meanwhile.

        Other slices may be read between two of them. Where the child has been retired or ended
        by then, a new one goes on.
        """
        left = deque(indices)
        while left:
            child = children.of(self) or self._opened_again()
            with suppress(ConnectionAbortedError), closing(self._asked(child, left)) as answers:
                for head, body in answers:
                    if "error" in head:
                        raise error_heard(head)
                    yield self._pixels(left.popleft(), head, body)

    def _asked(self, child: ChildProcess, indices: Iterable[int]) -> Generator[Answer, None, None]:
        cpu_s = self.order.cpu_s
        requests = [{"do": "slice", "index": index, "cpu_s": cpu_s} for index in indices]
        return child.ask_each(requests, cpu_s)

    def _pixels(self, index: int, head: Said, body: bytearray) -> NDArray[Any]:
        """What came back, if it is a slice of this study."""
        rows, columns = self.shape[1:]
        kind = str(head.get("type"))
        if kind not in PIXEL_TYPES or len(body) != rows * columns * np.dtype(kind).itemsize:
            raise UnsafeInputError(
                f"Slice {index} (the lowest is 0) came back in another size than the "
                "study's: the file is damaged; export the study again."
            )
        return np.frombuffer(body, kind).reshape(rows, columns)

    def _opened_again(self) -> ChildProcess:
        """A new child that has read the same study, unpacked in the same place if it is packed."""
        lease = self.order.lease
        if lease is None:
            return self._opened()
        with lease.lock:
            child = children.of(self)  # another thread may have been here
            if child is None:
                lease.empty()
                child = self._opened()
            return child

    def _opened(self) -> ChildProcess:
        child = ChildProcess()
        try:
            if open_in(child, self.order, "volume")[1] != self.digest:
                raise ChangedStudyError(
                    "The study is not the one that was opened: its files have changed since; "
                    "read it again."
                )
        except BaseException:
            child.close()
            raise
        children.keep(self, child)
        return child
