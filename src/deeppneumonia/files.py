"""Files that are there whole or not at all, the hash by which one is known, and their home."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

UNFINISHED = ".unfinished-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes `path` when the block ends without an error.

    The temporary file lies beside `path`, is flushed to the disk before it takes its place, and
    is removed when the block fails. What was at `path` before stays until then. The change of
    name is flushed too, so that of two files written one after the other the first is there first.
    A program that is killed inside the block leaves `.NAME.RANDOM.part` behind, and `path` as it
    was.
    """
    # Not by process number: two containers that share a folder may both be number 1.
    unfinished = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        yield unfinished
        flush(unfinished)
        unfinished.replace(path)
        flush(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, under the same promise."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def write_together(
    folder: Path, contents: Mapping[str, bytes], *, stale: Collection[str] = ()
) -> None:
    """Write files that belong together; the first of them is there only if all of them are.

    Everything is written and flushed in a hidden folder inside `folder`, which is made if it does
    not exist. Then the first file of an earlier time is taken away, all others are renamed into
    place, and the first file comes last. Killed at any instant, this leaves the earlier files, or
    no first file, or all new ones. A second program that writes to the same folder waits.

    Args:
        folder: where the files are to be.
        contents: by name; the first is the one by which others know that the rest is there.
        stale: names that are removed unless they are among the contents.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(contents))
    with _only_writer(folder):
        for left_behind in folder.glob(f"{UNFINISHED}*"):  # by a program that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
        try:
            for name, content in contents.items():
                (unfinished / name).write_bytes(content)
                flush(unfinished / name)
            (folder / first).unlink(missing_ok=True)
            for name in set(stale) - contents.keys():
                (folder / name).unlink(missing_ok=True)
            flush(folder)
            for name in [*list(contents)[1:], first]:
                (unfinished / name).replace(folder / name)
            flush(folder)
        except OSError as error:
            _name(error, folder)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _name(error: OSError, path: Path) -> None:
    """A full disk does not say at which file it was found to be full."""
    if not error.filename:
        error.strerror = error.strerror or str(error)  # which NumPy and Pillow may give alone
        error.filename = str(path)


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Waits until no other program writes to the folder; the system lets go when one is killed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks know no locks; renaming is still whole
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The file's sha256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def home_folder() -> Path:
    """DEEPPNEUMONIA_HOME, or .deeppneumonia in the user's home folder."""
    return Path(os.environ.get("DEEPPNEUMONIA_HOME") or Path.home() / ".deeppneumonia")


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as a person would.

    >>> sorted(["slice10.png", "Slice2.png"], key=natural_order)
    ['Slice2.png', 'slice10.png']
    """
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts] + [(2, 0, name)]
