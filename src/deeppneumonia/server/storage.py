"""Where uploads and results lie: folders with random names, there whole or not at all.

    DATA/incoming/RANDOM/      an upload on its way; removed when it is older than a day
    DATA/uploads/ID/           an accepted upload: study.zip, study.nii.gz or 000001.dcm, ...;
                               what lay in a second folder, if no DICOM, in 1/, and so on
    DATA/results/ID/FENCE/     the answer of one claim; the job's row names the one that counts

No file bears a name that came from outside.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.files import flush, natural_order

KNOWN_SUFFIXES = (
    ".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".raw", ".zip", ".dcm", ".png", ".jpg",
    ".jpeg",
)  # fmt: skip
ID_PATTERN = r"[0-9a-f]{32}"
HOUR_S, DAY_S = 3600.0, 86_400.0
KINDS = ("uploads", "results")


class DiskFullError(DeepPneumoniaError):
    """The disk has less space left than the server keeps free."""


class MissingFilesError(DeepPneumoniaError):
    """Files of an accepted study are not on the disk, as after half of a back-up was restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of an upload, as it lies in its incoming folder."""

    path: Path
    name: str
    """What the sender called it; decides the order of pictures and the suffix, and is dropped."""

    sha256: str
    size_bytes: int

    @property
    def is_dicom(self) -> bool:
        """Whether the preamble says so."""
        with self.path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload that is safe on the disk."""

    id: str
    content: str
    """What the same files always give, in whatever order they came: a sha256, behind which stands
    the ending of a single one, as it decides how the file is read."""

    size_bytes: int
    files: int


class Storage:
    """The folders of one server, or of several that share a disk."""

    def __init__(self, data: Path, *, min_free_bytes: int = 0) -> None:
        self.data = data
        self.min_free_bytes = min_free_bytes
        # The folder first: parents that are made on the way get no mode.
        for name in ("", "incoming", "uploads", "results"):
            (data / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def key(self) -> bytes:
        """The secret of all pseudonyms of this data folder, made when it is first asked for."""
        file = self.data / "pseudonyms.key"
        if not file.exists():
            made = self.data / f".{secrets.token_hex(8)}.key"
            made.touch(0o600)
            made.write_bytes(secrets.token_bytes(32))
            flush(made)
            with contextlib.suppress(FileExistsError):  # another process was faster
                file.hardlink_to(made)
            made.unlink()
            flush(self.data)
        return file.read_bytes()

    def incoming(self) -> Path:
        """A new empty folder to receive into.

        Raises:
            DiskFullError: there is too little space for any upload.
        """
        self.check_space()
        folder = self.data / "incoming" / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def check_space(self) -> None:
        """DiskFullError when less than `min_free_bytes` are free."""
        if self.free_bytes() < self.min_free_bytes:
            raise DiskFullError("The server's disk is almost full: nothing is accepted for now.")

    def free_bytes(self) -> int:
        """What the disk has left."""
        return shutil.disk_usage(self.data).free

    def keep(self, folder: Path, pieces: Sequence[Piece]) -> Upload:
        """Turn a received folder into an upload; when this returns, it survives a power cut.

        The pieces themselves have been flushed by whoever wrote them.
        """
        ordered = sorted(pieces, key=_key)
        folders = sorted({_folder(piece) for piece in ordered})
        places = [folders.index(_folder(piece)) for piece in ordered]
        content = _content(ordered, places)  # while the pieces can still be looked into
        for number, (piece, place) in enumerate(zip(ordered, places, strict=True), start=1):
            stem = "study" if len(ordered) == 1 else f"{number:06d}"
            there = folder / str(place) if place else folder
            there.mkdir(mode=0o700, exist_ok=True)
            piece.path.rename(there / (stem + _suffix(piece)))
        for place in range(1, len(folders)):
            flush(folder / str(place))
        flush(folder)
        id = secrets.token_hex(16)
        folder.rename(self.upload(id))
        flush(self.data / "uploads")
        return Upload(
            id=id,
            content=content,
            size_bytes=sum(piece.size_bytes for piece in ordered),
            files=len(ordered),
        )

    def upload(self, id: str) -> Path:
        """The folder of an accepted upload."""
        return self.data / "uploads" / _checked(id)

    def study(self, id: str) -> Path:
        """What a reader is given: the one file of an upload, or its folder."""
        files = sorted(self.upload(id).iterdir())
        return files[0] if len(files) == 1 and files[0].suffix != ".dcm" else self.upload(id)

    def check_whole(self, id: str, files: int) -> None:
        """MissingFilesError when a study has less than this on the disk: no part is read as all."""
        found = sum(file.is_file() for file in self.upload(id).rglob("*"))
        if found < files:
            raise MissingFilesError(
                f"The server's disk holds {found} of its {counted(files, 'file')}: put what is "
                f"missing back from the back-up (uploads/{id} of the data folder) and have the "
                "study read again, or delete it and send it again."
            )

    def result(self, id: str, name: str) -> Path:
        """The folder of one answer; `name` is `Job.result`."""
        if not name.isdecimal():
            raise ValueError("the name of a result is the fence of its claim")
        return self.data / "results" / _checked(id) / name

    @contextmanager
    def new_result(self, id: str, fence: int) -> Iterator[Path]:
        """An empty folder that becomes `result(id, fence)` when the block ends without an error."""
        final = self.result(id, str(fence))
        unfinished = final.with_name(f".{fence}.{os.getpid()}.part")
        unfinished.mkdir(parents=True, mode=0o700)
        try:
            yield unfinished
            for file in unfinished.iterdir():
                flush(file)
            flush(unfinished)
            unfinished.rename(final)
            flush(final.parent)
            flush(final.parent.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def remove_older_results(self, id: str, fence: int) -> None:
        """Delete what claims before this one left of a study."""
        with contextlib.suppress(FileNotFoundError):  # the study itself was deleted meanwhile
            for folder in (self.data / "results" / _checked(id)).iterdir():
                number = folder.name.lstrip(".").partition(".")[0]
                if number.isdecimal() and int(number) < fence:
                    shutil.rmtree(folder, ignore_errors=True)

    def result_files(self, id: str, name: str) -> list[str]:
        """Names of an answer's files; empty when it is gone."""
        with contextlib.suppress(FileNotFoundError):
            names = [file.name for file in self.result(id, name).iterdir()]
            return sorted(name for name in names if not name.startswith("."))
        return []

    def result_file(self, id: str, name: str, file: str) -> Path | None:
        """One file of an answer, or None; only names that stand in the folder are looked up."""
        return self.result(id, name) / file if file in self.result_files(id, name) else None

    def remove(self, id: str) -> None:
        """Delete the folders of a study that has no row, nor is getting one."""
        for kind in KINDS:
            shutil.rmtree(self.data / kind / _checked(id), ignore_errors=True)

    @contextmanager
    def removing(self, id: str) -> Iterator[Callable[[], None]]:
        """Delete the upload and every answer of a study, if what is given here is called.

        It is called where the row goes, and moves the folders away at once, so that images which
        come next begin a new one. They are deleted when the block ends without an error, and else
        put back. A kill leaves them to `sweep_incoming`.
        """
        aside = self.data / "incoming" / secrets.token_hex(16)
        try:
            yield lambda: self._move_away(_checked(id), aside)
        except BaseException:
            self._put_back(id, aside)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _move_away(self, id: str, aside: Path) -> None:
        aside.mkdir(mode=0o700)
        for kind in KINDS:
            with contextlib.suppress(FileNotFoundError):
                (self.data / kind / id).rename(aside / kind)

    def _put_back(self, id: str, aside: Path) -> None:
        for kind in KINDS:
            if (aside / kind).is_dir():
                folder = self.data / kind / id
                folder.mkdir(mode=0o700, exist_ok=True)  # more may have come
                for one in (aside / kind).iterdir():
                    one.rename(folder / one.name)
        shutil.rmtree(aside, ignore_errors=True)

    def ids(self, *, older_than_s: float) -> set[str]:
        """Studies that have a folder which was not changed for this long."""
        limit = time.time() - older_than_s
        return {
            folder.name
            for kind in KINDS
            for folder in (self.data / kind).iterdir()
            if re.fullmatch(ID_PATTERN, folder.name) and folder.stat().st_mtime < limit
        }

    def sweep_incoming(self) -> None:
        """Remove uploads that broke off on the way."""
        limit = time.time() - DAY_S
        for folder in (self.data / "incoming").iterdir():
            if folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)


def _key(piece: Piece) -> tuple[object, ...]:
    """DICOM by content, as it may arrive in any order; the rest by name, as pictures are read."""
    order = [] if piece.is_dicom else natural_order(PurePosixPath(piece.name).name)
    return not piece.is_dicom, _folder(piece), order, piece.sha256


def _folder(piece: Piece) -> str:
    """Where it lay at the sender's, in which pictures of two folders are no one study."""
    return "" if piece.is_dicom else str(PurePosixPath(piece.name).parent)


def _content(ordered: Sequence[Piece], places: Sequence[int]) -> str:
    if len(ordered) == 1:
        return ordered[0].sha256 + _suffix(ordered[0])
    known = "".join(one.sha256 for one in ordered)
    if any(places):
        known += str(places)
    return hashlib.sha256(known.encode()).hexdigest()


def _suffix(piece: Piece) -> str:
    if piece.is_dicom:
        return ".dcm"
    name = piece.name.lower()
    return next((suffix for suffix in KNOWN_SUFFIXES if name.endswith(suffix)), "")


def _checked(id: str) -> str:
    if not re.fullmatch(ID_PATTERN, id):
        raise ValueError("an id is 32 hexadecimal digits")
    return id
