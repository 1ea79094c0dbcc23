"""A hash that stands for the content of a picture, a study or a piece of our own source."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from deeppneumonia.readers import sha256_with_pixels


def content_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, or of the names and bytes of all files below a folder.

    A header that keeps its pixels in a file beside it (`.mhd`, `.nhdr`) counts with that file.
    """
    if not path.is_dir():
        return sha256_with_pixels(path)
    return files_sha256(path, (file for file in path.rglob("*") if file.is_file()))


def files_sha256(folder: Path, files: Iterable[Path]) -> str:
    """One sha256 for the names, relative to `folder`, and the bytes of several files."""
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.relative_to(folder).as_posix()}\0{content_sha256(file)}\0".encode())
    return whole.hexdigest()
