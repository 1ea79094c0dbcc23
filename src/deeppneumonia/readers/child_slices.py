"""The pixels of a volume that a child process reads, and a new one where that has ended."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.readers.children import Children
from deeppneumonia.readers.limits import UnsafeInputError
from deeppneumonia.readers.messages import PIXEL_TYPES, ChangedStudyError, Said, error_heard
from deeppneumonia.readers.orders import Order, ask_one, open_in
from deeppneumonia.readers.process import ChildProcess

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
        child = children.of(self) or self._opened_again()
        try:
            head, body = ask_one(child, {"do": "slice", "index": index}, self.order.cpu_s)
        except ConnectionAbortedError:  # retired by another thread since
            return self.read(index)
        return self._pixels(index, head, body)

    def read_ahead(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Slices in turn, as `read` gives them; the child decodes the next one meanwhile."""
        child = children.of(self) or self._opened_again()
        requests: list[Said] = [
            {"do": "slice", "index": index, "cpu_s": self.order.cpu_s} for index in indices
        ]
        with closing(child.ask_each(requests, self.order.cpu_s)) as answers:
            for index, (head, body) in zip(indices, answers, strict=True):
                if "error" in head:
                    raise error_heard(head)
                yield self._pixels(index, head, body)

    def _pixels(self, index: int, head: Said, body: bytearray) -> NDArray[Any]:
        """What came back, if it is a slice of this study."""
        rows, columns = self.shape[1:]
        kind = str(head.get("type"))
        if kind not in PIXEL_TYPES or len(body) != rows * columns * np.dtype(kind).itemsize:
            raise UnsafeInputError(
                f"Slice {index + 1} (counted from the feet) came back in another size than the "
                "study's: the file is damaged; export the study again."
            )
        return np.frombuffer(body, kind).reshape(rows, columns)

    def _opened_again(self) -> ChildProcess:
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
