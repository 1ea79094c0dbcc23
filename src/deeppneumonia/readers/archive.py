"""Zip archives: the index is checked before a byte is unpacked, and no name becomes a path outside.

A member is stored under its own checked name in a folder of ours. What an archive states of itself
is held against what comes out of it, so that overlapping members and lying sizes gain nothing.
"""

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.limits import MEGABYTE, Limits, UnsafeInputError, check_growth

MEMBER_IS_ENCRYPTED = 0x1
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db")
NAME_BYTES = 255
"""Longest name of a file on Linux."""


def is_zip(path: Path) -> bool:
    """By the first four bytes, whatever the name says."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_clutter(name: str) -> bool:
    """Whether a file or folder was left there by an operating system."""
    return name in CLUTTER or name.startswith("._")


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into an empty folder, after the index was checked; nothing is written outside it.

    Raises:
        UnsafeInputError: an archive that would write outside or grow without measure.
        StudyError: it is damaged, encrypted, or there is no room for it.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [member for member in _members(zipped) if not _is_clutter(member)]
            _check_index(members, archive.stat().st_size, limits)
            for member in members:
                _unpack_member(zipped, member, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StudyError(
                "There is no room to unpack the zip archive in the folder for temporary files: "
                "free some space, or name another folder in TMPDIR."
            ) from error
        raise _damaged() from error
    # What zipfile raises for damaged or unusual archives (RuntimeError: a password).
    except (
        zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, RuntimeError, zlib.error,
    ) as error:  # fmt: skip
        if isinstance(error, RecursionError):
            raise
        raise _damaged() from error


def _members(zipped: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What the index names; folders are parted by `\\` in archives of older Windows programs."""
    for member in zipped.infolist():
        member.filename = member.filename.replace("\\", "/")
    return zipped.infolist()


def _damaged() -> StudyError:
    return StudyError(
        "The zip archive cannot be unpacked because it is damaged or of an unusual kind: "
        "pack the study again as a plain zip."
    )


def _unpack_member(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the stated size and checks the CRC, so the index check holds for the data.
    with zipped.open(member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, MEGABYTE)


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    # Not member.is_dir(): it fails on an empty name, which the fuzzer found.
    return member.filename.endswith("/") or any(
        map(is_clutter, PurePosixPath(member.filename).parts)
    )


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
    check_total([member.file_size for member in members], limits)
    check_growth(archive_bytes, sum(member.file_size for member in members), limits)


def check_total(sizes: list[int], limits: Limits) -> None:
    """UnsafeInputError when files of these sizes are too large for a study."""
    largest, total = max(sizes, default=0), sum(sizes)
    if largest > limits.file_bytes or total > limits.total_bytes:
        raise UnsafeInputError(
            f"The input has {total / MEGABYTE:.0f} MB in {len(sizes)} files, the largest of "
            f"{largest / MEGABYTE:.0f} MB: a study may have {limits.total_bytes / MEGABYTE:.0f} MB "
            f"with {limits.file_bytes / MEGABYTE:.0f} MB a file; give one study."
        )


def _check_member(member: zipfile.ZipInfo, limits: Limits) -> None:
    name = member.filename
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ":" in parts[0] or ".." in parts:
        raise UnsafeInputError(
            "The archive holds a file whose name leads out of the archive's own folder: "
            "it was not unpacked; pack the study again."
        )
    if max(len(part.encode(errors="replace")) for part in parts) > NAME_BYTES:
        raise UnsafeInputError(
            f"The archive holds a file whose name has more than {NAME_BYTES} bytes: "
            "pack the study again under shorter names."
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
