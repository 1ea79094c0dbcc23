"""Copies of CT images without their patient, made by the bounded child process."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.isolation import by_one_child
from deeppneumonia.readers.orders import open_in, order_for
from deeppneumonia.readers.process import ChildProcess


def deidentify(files: Sequence[Path], key: bytes, folder: Path) -> list[list[Path]]:
    """Write copies of CT images without their patient into a folder; for each file its copies.

    What is no CT image, or cannot be read, has no copy. One child reads all files, and a fresh one
    what comes after a file that broke it.

    Args:
        files: DICOM files, or zip archives of such.
        key: of the pseudonyms; see `readers.clean_copy`.
    """
    numbers = count()

    def copies_of(child: ChildProcess | None, file: Path) -> list[Path]:
        return _copies_of(child, file, folder.absolute() / f"clean{next(numbers):06d}", key)

    return by_one_child(files, copies_of)


def _copies_of(child: ChildProcess | None, file: Path, stem: Path, key: bytes) -> list[Path]:
    """What a child wrote, or this process where there is none; nothing of a file that broke it."""
    try:
        if child is None:
            from deeppneumonia.readers.clean_copy import write_deidentified

            write_deidentified(file, stem, key)
        else:
            open_in(child, order_for(file, None), "deidentify", stem=stem, key=key.hex())
    except StudyError:
        for copy in stem.parent.glob(f"{stem.name}_*"):
            copy.unlink()
    return sorted(stem.parent.glob(f"{stem.name}_*.dcm"))
