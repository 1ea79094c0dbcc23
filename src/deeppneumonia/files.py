"""Files that are there whole or not at all, the hash by which one is known, and their home."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes `path` when the block ends without an error.

    The temporary file lies beside `path`, is flushed to the disk before it takes its place, and
    is removed when the block fails. What was at `path` before stays until then. The change of
    name is flushed too, so that of two files written one after the other the first is there first.
    A program that is killed inside the block leaves `.NAME.PID.part` behind, and `path` as it was.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        _flush(unfinished)
        unfinished.replace(path)
        _flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, under the same promise."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(path: Path) -> str:
    """The file's sha256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def home_folder() -> Path:
    """DEEPPNEUMONIA_HOME, or .deeppneumonia in the user's home folder."""
    return Path(os.environ.get("DEEPPNEUMONIA_HOME") or Path.home() / ".deeppneumonia")
