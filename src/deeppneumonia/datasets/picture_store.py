"""Pictures on disk that only grow, and outlive a process that is killed while it writes.

`pictures.npy` holds the pictures one behind the other; a line of `journal.jsonl` vouches for those
of one study and is written after them. Whatever no line vouches for is cut off at the next opening.
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.files import write_whole

# numpy writes the header of a three-dimensional array with room for a longer first axis.
_HEADER_BYTES = 128


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one study or picture in preprocessing."""

    kept: Sequence[int]
    """Slice indices of its pictures, in the order in which they are stored."""

    dropped: Sequence[tuple[int, str]]
    """Slice index and reason of every slice that was left out."""

    refused: str = ""
    """Why nothing of it can be used; blank when something can."""

    may_pass: bool = False
    """Whether that may come of the machine or the moment: then it is not written down, and the
    next opening knows nothing of it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome and where its pictures begin."""

    outcome: Outcome
    first: int
    """Array row of the first picture; the others follow."""


class PictureStore:
    """Open for one writer at a time; a second one waits for the first to finish.

    Args:
        folder: holds the store, and is made if it does not exist.
        side_px: side of the square pictures.
        content: what the pictures depend on; a store made for other content is begun anew.
    """

    def __init__(self, folder: Path, side_px: int, content: Mapping[str, object]) -> None:
        self.folder, self.side_px = folder, side_px
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._begin_anew_unless(content)
        self._pictures = _opened(folder / "pictures.npy")
        self._journal = _opened(folder / "journal.jsonl")
        self.known = self._vouched_for()
        """Outcomes by key, this session's included."""
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write_header()
        for file in (self._pictures, self._journal, self._lock):
            file.close()

    def append(self, key: str, outcome: Outcome, pictures: NDArray[np.uint8]) -> None:
        """Store the pictures (kept, side, side) of one outcome under its key."""
        if pictures.shape != (len(outcome.kept), self.side_px, self.side_px):
            raise ValueError(f"{len(outcome.kept)} pictures were announced, not {pictures.shape}")
        if outcome.may_pass:
            self.known[key] = Stored(outcome, self._count)
            return
        self._pictures.seek(self._end)
        self._pictures.write(pictures.tobytes())
        self._pictures.flush()
        record = {"key": key, **asdict(outcome)}
        del record["may_pass"]  # what is written down does not
        self._journal.write(json.dumps(record).encode() + b"\n")
        self._journal.flush()
        self.known[key] = Stored(outcome, self._count)
        self._count += len(pictures)

    def pictures(self) -> NDArray[np.uint8]:
        """All pictures so far (n, side, side), memory-mapped; stays valid after closing."""
        shape = (self._count, self.side_px, self.side_px)
        if not self._count:  # nothing cannot be mapped
            return np.empty(shape, np.uint8)
        path = self.folder / "pictures.npy"
        return np.memmap(path, np.uint8, "r", offset=_HEADER_BYTES, shape=shape)

    @property
    def _end(self) -> int:
        return _HEADER_BYTES + self._count * self.side_px**2

    def _write_header(self) -> None:
        """For `np.load`; states the pictures of this opening only when it is closed."""
        self._pictures.seek(0)
        shape = (self._count, self.side_px, self.side_px)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._pictures, header)

    def _begin_anew_unless(self, content: Mapping[str, object]) -> None:
        note = self.folder / "content.json"
        wanted = json.dumps(content, sort_keys=True, indent=1)
        if note.is_file() and note.read_text() == wanted:
            return
        # Unlinked and not emptied: who still has the old pictures mapped goes on reading them.
        for name in ("content.json", "journal.jsonl", "pictures.npy"):
            (self.folder / name).unlink(missing_ok=True)
        write_whole(note, wanted)

    def _vouched_for(self) -> dict[str, Stored]:
        self._count = 0
        known: dict[str, Stored] = {}
        size = os.fstat(self._pictures.fileno()).st_size
        vouched = 0
        for line in self._journal:
            record = _parsed(line)
            if record is None or self._end + len(record["kept"]) * self.side_px**2 > size:
                break
            vouched += len(line)
            dropped = tuple((index, reason) for index, reason in record["dropped"])
            outcome = Outcome(tuple(record["kept"]), dropped, record["refused"])
            known[record["key"]] = Stored(outcome, self._count)
            self._count += len(outcome.kept)
        self._journal.truncate(vouched)
        self._journal.seek(vouched)
        self._pictures.truncate(self._end)
        return known


def _opened(path: Path) -> IO[bytes]:
    path.touch()
    return path.open("r+b")


def _parsed(line: bytes) -> Any:
    """The record of a journal line; None for one that was not written to its end."""
    return json.loads(line) if line.endswith(b"\n") else None
