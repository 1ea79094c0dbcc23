"""The one door for files from outside: every reader takes only what `admit` has let in.

Limits are checked on names and sizes before any content is read, and on stated picture sizes
before any pixel is decoded. Parsing behind this door in a child process that is bounded in
memory and time belongs here too, and is the next thing to be built.
"""

import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeppneumonia.errors import StudyError

MEGABYTE = 1024 * 1024
MEMBER_IS_ENCRYPTED = 0x1
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db")


class NoStudyError(StudyError):
    """There is nothing at the path that this program could read as a study."""


class UnsafeInputError(StudyError):
    """The input is larger than any study, or made to do harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a study may be; ten times above what scanners make."""

    files: int = 20_000
    file_bytes: int = 4096 * MEGABYTE
    total_bytes: int = 16384 * MEGABYTE
    depth: int = 16
    """Folders below the given one, in a folder or an archive."""

    unpacked_ratio: int = 200
    """Largest growth of what unpacks to more than 256 MB; CT grows 2 to 4 times."""

    slices: int = 5_000
    picture_pixels: int = 4096 * 4096
    voxels: int = 1024 * 1024 * 1024


LIMITS = Limits()


class Lease:
    """A folder of unpacked files that is deleted when nobody holds the lease any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="deeppneumonia-"))
        weakref.finalize(self, shutil.rmtree, self.folder, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Files that passed the door, sorted by path."""

    files: tuple[Path, ...]
    lease: Lease | None = None
    """Keeps unpacked files alive; None for files that lie where the user put them."""

    links: int = 0
    """Symbolic links that were not followed."""


def admit(path: Path, limits: Limits = LIMITS) -> Admitted:
    """Let in a file, a folder or a zip archive, or refuse it; reads no content but a zip's index.

    Raises:
        NoStudyError: there is nothing there.
        UnsafeInputError: too many files, too large, too deep, or an archive that would write
            outside its folder or grow without measure.
        StudyError: an archive that is damaged or encrypted.
    """
    if not path.exists():
        raise NoStudyError(
            "There is nothing at the path that was given: give the folder or file of a CT study."
        )
    if path.is_dir():
        return _admit_folder(path, limits)
    if not path.is_file():
        raise NoStudyError(
            "The path that was given is neither a file nor a folder: give the folder or file of a "
            "CT study."
        )
    _check_total([path.stat().st_size], limits)
    if _is_zip(path):
        lease = Lease()
        _unpack(path, lease.folder, limits)
        return Admitted(files=_admit_folder(lease.folder, limits).files, lease=lease)
    return Admitted(files=(path,))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def check_voxels(slices: int, rows: int, columns: int, limits: Limits = LIMITS) -> None:
    """UnsafeInputError when a header promises more pixels than any CT has; call before decoding."""
    if min(slices, rows, columns) < 1:
        raise StudyError(
            f"The header states {slices} slices of {rows} x {columns} pixels: an empty picture "
            "cannot be read; export the study again."
        )
    if (
        slices > limits.slices
        or rows * columns > limits.picture_pixels
        or slices * rows * columns > limits.voxels
    ):
        raise UnsafeInputError(
            f"The header states {slices} slices of {rows} x {columns} pixels, more than a chest CT "
            f"can have (at most {limits.slices} slices of 4096 x 4096): check the file."
        )


def check_growth(packed_bytes: int, unpacked_bytes: int, limits: Limits = LIMITS) -> None:
    """UnsafeInputError for packed data that grow as no CT does; call before unpacking."""
    if unpacked_bytes > max(256 * MEGABYTE, limits.unpacked_ratio * packed_bytes):
        raise UnsafeInputError(
            f"The input would grow {unpacked_bytes / max(packed_bytes, 1):.0f} times when "
            f"unpacked, where CT grows at most {limits.unpacked_ratio} times: "
            "pack or convert the study again."
        )


def _admit_folder(folder: Path, limits: Limits) -> Admitted:
    files: list[Path] = []
    links = 0
    for file in _walk(folder, limits.depth):
        if file.is_symlink():
            links += 1
        elif file.is_file():
            files.append(file)
        if len(files) + links > limits.files:
            raise UnsafeInputError(
                f"The input holds more than {limits.files} files, more than a study can have: "
                "give the folder of one study."
            )
    _check_total([file.stat().st_size for file in files], limits)
    return Admitted(files=tuple(sorted(files)), links=links)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Files and links below a folder; links to folders are named, never entered."""
    for entry in sorted(folder.iterdir()):
        if entry.name in CLUTTER or entry.name.startswith("._"):
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


def _check_total(sizes: list[int], limits: Limits) -> None:
    largest, total = max(sizes, default=0), sum(sizes)
    if largest > limits.file_bytes or total > limits.total_bytes:
        raise UnsafeInputError(
            f"The input has {total / MEGABYTE:.0f} MB in {len(sizes)} files, the largest of "
            f"{largest / MEGABYTE:.0f} MB: a study may have {limits.total_bytes / MEGABYTE:.0f} MB "
            f"with {limits.file_bytes / MEGABYTE:.0f} MB a file; give one study."
        )


def _unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into an empty folder, after the index was checked; nothing is written outside it."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [member for member in zipped.infolist() if not _is_clutter(member)]
            _check_index(members, archive.stat().st_size, limits)
            for member in members:
                _unpack_member(zipped, member, folder)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise StudyError(
            "The zip archive cannot be unpacked because it is damaged or of an unusual kind: "
            "pack the study again as a plain zip."
        ) from error


def _unpack_member(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the stated size and checks the CRC, so the index check holds for the data.
    with zipped.open(member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, MEGABYTE)


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return member.is_dir() or any(p in CLUTTER or p.startswith("._") for p in parts)


def _check_index(members: list[zipfile.ZipInfo], archive_bytes: int, limits: Limits) -> None:
    if len(members) > limits.files:
        raise UnsafeInputError(
            f"The archive holds {len(members)} files, more than a study can have "
            f"({limits.files}): pack one study."
        )
    for member in members:
        _check_member(member, limits)
    if len({member.filename for member in members}) < len(members):
        raise UnsafeInputError(
            "The archive holds two files of the same name, so that one would replace the other: "
            "pack the study again."
        )
    _check_total([member.file_size for member in members], limits)
    check_growth(archive_bytes, sum(member.file_size for member in members), limits)


def _check_member(member: zipfile.ZipInfo, limits: Limits) -> None:
    name = member.filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ":" in parts[0] or ".." in parts:
        raise UnsafeInputError(
            "The archive holds a file whose name leads out of the archive's own folder: "
            "it was not unpacked; pack the study again."
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UnsafeInputError(
            "The archive holds a symbolic link, where only plain files are expected: "
            "pack the study again with the files themselves."
        )
    if len(parts) - 1 > limits.depth:
        raise UnsafeInputError(
            "The archive has folders nested deeper than a study can have: pack one study."
        )
    if member.flag_bits & MEMBER_IS_ENCRYPTED:
        raise StudyError("The zip archive is encrypted: pack the study without a password.")
