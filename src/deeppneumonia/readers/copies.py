"""Copies of CT images without their patient, made by the bounded child process."""

from collections.abc import Sequence
from pathlib import Path

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.deidentify import write_deidentified
from deeppneumonia.readers.isolation import _isolated, _open, _order
from deeppneumonia.readers.process import ChildProcess


def deidentify(files: Sequence[Path], key: bytes, folder: Path) -> list[list[Path]]:
    """Write copies of CT images without their patient into a folder; for each file its copies.

    What is no CT image, or cannot be read, has no copy. One child reads all files, and a fresh one
    what comes after a file that broke it.

    Args:
        files: DICOM files, or zip archives of such.
        key: of the pseudonyms; see `readers.deidentify`.
    """
    copies: list[list[Path]] = []
    child: ChildProcess | None = None
    try:
        for number, file in enumerate(files):
            if _isolated() and (child is None or not child.is_usable):
                child = ChildProcess()
            copies.append(_copies_of(child, file, folder.absolute() / f"clean{number:06d}", key))
    finally:
        if child is not None:
            child.close()
    return copies


def _copies_of(child: ChildProcess | None, file: Path, stem: Path, key: bytes) -> list[Path]:
    """What a child wrote, or this process where there is none; nothing of a file that broke it."""
    try:
        if child is None:
            write_deidentified(file, stem, key)
        else:
            _open(child, _order(file, None), "deidentify", stem=stem, key=key.hex())
    except StudyError:
        for copy in stem.parent.glob(f"{stem.name}_*"):
            copy.unlink()
    return sorted(stem.parent.glob(f"{stem.name}_*.dcm"))
