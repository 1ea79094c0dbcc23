"""The one door for files from outside: every reader takes only what `admit` has let in.

Limits are checked on names and sizes before any content is read, and on stated picture sizes
before any pixel is decoded. All that reads content stands behind a second door: `isolation` runs
it in a child process that is bounded in memory and time and has no network.
"""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.archive import check_total, is_clutter, is_zip, unpack
from deeppneumonia.readers.limits import Limits, UnsafeInputError, current_limits

Stamp = tuple[int, int, int]
"""Size, time of change in ns and number of a file; another content has another stamp."""


class NoStudyError(StudyError):
    """There is nothing at the path that this program could read as a study."""


def cannot_open(error: OSError) -> StudyError:
    """What the system said of a file or folder, in our words."""
    return StudyError(
        f"A file or folder of the study cannot be opened ({error.strerror}), where all of it must "
        "be readable: check the permissions."
    )


class Lease:
    """A folder of unpacked files that is deleted when nobody holds the lease any more.

    It is made when it is asked for. Who inherits a lease over a fork, or is sent a copy, gets a
    folder of its own: what one process empties or deletes is never what another one reads.
    """

    def __init__(self) -> None:
        self._owner: int | None = None

    def __reduce__(self) -> tuple[type["Lease"], tuple[()]]:
        return Lease, ()

    @property
    def folder(self) -> Path:
        """Where this process may unpack."""
        self._settle()
        return self._folder

    @property
    def lock(self) -> threading.Lock:
        """For the one thread that empties the folder and has it filled again."""
        self._settle()
        return self._lock

    def _settle(self) -> None:
        with _settling:
            if self._owner != os.getpid():
                self._folder = Path(tempfile.mkdtemp(prefix="deeppneumonia-"))
                self._owner, self._lock = os.getpid(), threading.Lock()
                weakref.finalize(self, _remove, self._folder, self._owner)

    def empty(self) -> None:
        """Delete what was unpacked, to unpack it again in the same place."""
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_open(error) from error


_settling = threading.Lock()


def _remove(folder: Path, owner: int) -> None:
    if owner == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Files that passed the door, sorted by path."""

    files: tuple[Path, ...]
    lease: Lease | None = None
    """Keeps unpacked files alive; None for files that lie where the caller put them."""

    links: int = 0
    """Symbolic links that were not followed."""


def admit(path: Path, limits: Limits | None = None, *, unpacked: Path | None = None) -> Admitted:
    """Let in a file, a folder or a zip archive, or refuse it; reads no content but a zip's index.

    Args:
        path: of the file, folder or archive.
        limits: those of the environment when None.
        unpacked: an empty folder of the caller's for what an archive holds; None for one that
            goes with the lease.

    Raises:
        NoStudyError: there is nothing there.
        UnsafeInputError: too many files, too large, too deep, or an archive that would write
            outside its folder or grow without measure.
        StudyError: an archive that is damaged or encrypted.
    """
    limits = limits or current_limits()
    stamps, links = _survey(path, limits)
    if path.is_file() and is_zip(path):
        lease = None
        if unpacked is None:
            lease = Lease()
            unpacked = lease.folder
        unpack(path, unpacked, limits)
        found, _ = _survey(unpacked, limits)
        return Admitted(files=tuple(sorted(found)), lease=lease)
    return Admitted(files=tuple(sorted(stamps)), links=links)


def stamps_of(path: Path) -> dict[Path, Stamp]:
    """Every file at a path with its stamp; reads no content.

    Raises:
        NoStudyError: there is nothing there.
        UnsafeInputError: too many files, too large, or nested too deeply.
    """
    return _survey(path, current_limits())[0]


def _survey(path: Path, limits: Limits) -> tuple[dict[Path, Stamp], int]:
    """The files at a path, and how many links were passed over."""
    if not path.exists():
        raise NoStudyError(
            "There is nothing at the path that was given: give the folder or file of a CT study."
        )
    if not path.is_dir() and not path.is_file():
        raise NoStudyError(
            "The path that was given is neither a file nor a folder: give the folder or file of a "
            "CT study."
        )
    stamps: dict[Path, Stamp] = {}
    links = 0
    for file in _walk(path, limits.depth) if path.is_dir() else [path]:
        if file.is_symlink() and file != path:
            links += 1
        elif file.is_file():
            stamps[file] = stamp_of(file)
        if len(stamps) + links > limits.files:
            raise UnsafeInputError(
                f"The input holds more than {limits.files} files, more than a study can have: "
                "give the folder of one study."
            )
    check_total([size for size, _, _ in stamps.values()], limits)
    return stamps, links


def stamp_of(file: Path) -> Stamp:
    """What a file's name leads to just now."""
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Files and links below a folder; links to folders are named, never entered."""
    for entry in sorted(folder.iterdir()):
        if is_clutter(entry.name):
            continue
        if entry.is_symlink() or not entry.is_dir():
            yield entry
        elif depth == 0:
            raise UnsafeInputError(
                "The input has folders nested deeper than a study can have: "
                "give the folder of one study."
            )
        else:
            yield from _walk(entry, depth - 1)
