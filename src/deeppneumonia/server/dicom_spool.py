"""Images as they arrive: one folder a study, one file an image, both named by hashes of UIDs.

    SPOOL/receiving/       what pynetdicom is still writing; swept at start
    SPOOL/studies/HASH/    the CT images of one study, until they are handed to the store of jobs
    SPOOL/damaged/HASH/    those that could no longer be read then; nobody looks at them again

A node that is started again goes on where it was: nothing about a study is in memory alone.
"""

import errno
import hashlib
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from deeppneumonia.errors import InputRefusedError
from deeppneumonia.files import flush, sha256_of
from deeppneumonia.server.storage import HOUR_S, Storage
from deeppneumonia.workflows.received import CT_CLASSES

UID_TAGS = {
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyInstanceUID": 0x0020000D,
}


class UnfitObjectError(InputRefusedError):
    """An object that belongs to no study, or is not the one that was announced."""


@dataclass(frozen=True, slots=True)
class Image:
    """A file of the spool that has been read from end to end."""

    file: Path
    study_uid: str
    """Study Instance UID."""

    sha256: str


class Spool:
    """The images that have come and are not yet forgotten."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.receiving = folder / "receiving"
        self.studies = folder / "studies"
        self.damaged = folder / "damaged"
        self._storage = storage
        self._lock = threading.Lock()
        for each in (self.receiving, self.studies, self.damaged):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, file: Path, *, sop_class: str, sop_instance: str) -> bool:
        """Keep a received file for good; it is on the disk when this returns.

        Args:
            file: in `receiving`; is moved.
            sop_class: as announced by the sender; must be that of the file, where it names one.
            sop_instance: likewise, and the file has to name it.

        Returns:
            Whether it is kept. Only CT images are; what an archive has beside them is not read.

        Raises:
            UnfitObjectError: the file has no study, or another class or instance than announced.
            DiskFullError: too little space is left.
        """
        if sop_class not in CT_CLASSES:
            return False
        self._storage.check_space()
        uids = uids_of(file)
        study, instance = uids.get("StudyInstanceUID"), uids.get("SOPInstanceUID")
        is_of_class = uids.get("SOPClassUID", sop_class) in ("", sop_class)
        if not study or not is_of_class or str(instance) != sop_instance:
            raise UnfitObjectError(
                "An object has no study, or is another one than was announced: it was not taken."
            )
        folder = self.studies / _hash(str(study))
        target = folder / f"{_hash(str(instance))}.dcm"
        with self._lock:
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                flush(self.studies)
            if not target.exists():  # an instance never changes (PS3.5 9): the first one stays
                flush(file)
                file.rename(target)
                flush(folder)
        return True

    def waiting(self) -> Iterator[list[Path]]:
        """The images of each study that has any; they stay until they are dropped."""
        for folder in sorted(self.studies.iterdir()):
            files = sorted(folder.glob("*.dcm"))
            if files:
                yield files

    def drop(self, files: list[Path]) -> None:
        """Forget images that are safe elsewhere."""
        with self._lock:
            for file in files:
                file.unlink(missing_ok=True)
            _remove_empty({file.parent for file in files})

    def set_aside(self, files: list[Path]) -> None:
        """Move damaged files to where they are kept and not looked for again."""
        with self._lock:
            for file in files:
                folder = self.damaged / file.parent.name
                folder.mkdir(mode=0o700, exist_ok=True)
                file.replace(folder / file.name)
                flush(folder)
            flush(self.damaged)
            _remove_empty({file.parent for file in files})

    def forget_damaged(self, *, older_than_s: float) -> None:
        """Remove damaged files that were set aside longer ago; they may show a patient."""
        limit = time.time() - older_than_s
        for folder in self.damaged.iterdir():
            if folder.stat().st_mtime < limit:  # when the last file came into it
                shutil.rmtree(folder)

    def sweep(self, *, older_than_s: float = HOUR_S) -> None:
        """Remove what broke off while it was received."""
        limit = time.time() - older_than_s
        for file in self.receiving.iterdir():
            if file.stat().st_mtime < limit:
                file.unlink(missing_ok=True)


def read_through(file: Path) -> Image:
    """Read a file of the spool from end to end.

    Raises:
        UnfitObjectError: it is damaged, or of another study than those beside it.
    """
    try:
        study_uid = str(uids_of(file).get("StudyInstanceUID", ""))
        sha256 = sha256_of(file)
    except OSError as error:
        if error.errno != errno.EIO:  # a bad block stays one; all else may pass
            raise
        raise UnfitObjectError("An image cannot be read from the disk any more.") from error
    if _hash(study_uid) != file.parent.name:
        raise UnfitObjectError("An image is not of the study that it was kept for.")
    return Image(file, study_uid, sha256)


def uids_of(file: Path) -> Dataset:
    """The UIDs that say where an object belongs; reads no further, and quotes nothing.

    Raises:
        UnfitObjectError: the header cannot be read.
        OSError: the file cannot, whatever is in it.
    """
    last = Tag(UID_TAGS["StudyInstanceUID"])
    try:
        with file.open("rb") as stream:
            uids = read_partial(
                stream,
                stop_when=lambda tag, _vr, _length: tag > last,
                specific_tags=list(UID_TAGS.values()),
            )
        list(uids)  # values are understood only when they are asked for, here
        return uids
    # pydicom lets errors of every kind through for damaged files; each means the same to us. Those
    # of the machine say nothing of the file, and must not have it taken for damaged.
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnfitObjectError("An object has a damaged header: it was not taken.") from None


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]
