"""From files that have arrived to a job in the queue: the one way in for every route."""

import contextlib
import hashlib
import hmac
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.files import flush, sha256_of
from deeppneumonia.server.accounts import Principal, Right
from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import Piece
from deeppneumonia.server.upload import UploadError
from deeppneumonia.server.worklist import Job, State
from deeppneumonia.workflows.received import deidentify

logger = logging.getLogger(__name__)

HEADERS = (".mhd", ".nhdr")
"""Endings of files that name another one with the pixels."""


class QueueFullError(DeepPneumoniaError):
    """More studies wait than the server lets wait; answered with status 429."""


class NoCtImageError(UploadError):
    """Nothing is left of an upload whose patient was removed."""


def check_queue(services: Services, principal: Principal) -> None:
    """QueueFullError when this principal, or everybody together, has enough waiting."""
    settings = services.settings
    waiting = services.jobs.counts()[State.QUEUED]
    own = services.jobs.counts(principal.name)[State.QUEUED]
    if waiting >= settings.max_queued or (
        own >= settings.max_queued_per_owner and not principal.may(Right.ADMIN)
    ):
        words = counted(waiting, "study is", "studies are")
        raise QueueFullError(f"{words} waiting already: try again in a minute.")


def submit(
    services: Services,
    folder: Path,
    pieces: Sequence[Piece],
    *,
    owner: str,
    source: str,
    label: str = "",
) -> tuple[Job, bool]:
    """Accept a whole study that lies in an incoming folder, its files flushed to the disk.

    Returns:
        The job and whether it is new; the same files from the same owner are the same job.

    Raises:
        UploadError: a volume in two files (MetaImage, NRRD) came as loose ones.
        NoCtImageError: where patients are removed on arrival, and no CT image is among the files.
    """
    if len(pieces) > 1 and any(one.name.lower().endswith(HEADERS) for one in pieces):
        raise UploadError(
            "A volume whose pixels lie in a second file finds them by a name that no file keeps "
            "here: send both in one zip, or the volume as one file (.mha, .nrrd, .nii.gz)."
        )
    if services.settings.de_identify:
        folder, pieces = cleaned(services, pieces)
        label = ""
    upload = services.storage.keep(folder, pieces)
    job, is_new = services.jobs.submit(
        id=upload.id,
        owner=owner,
        source=source,
        content=upload.content,
        size_bytes=upload.size_bytes,
        files=upload.files,
        label=_seen(label),
    )
    if is_new:
        services.audit.write(owner, "submit", job.id, source)
    else:
        services.storage.remove(upload.id)
    return job, is_new


def _seen(label: str) -> str:
    """What of a label can be seen: one of blanks alone would be a link that nobody finds."""
    return " ".join("".join(one if one.isprintable() else " " for one in label).split())


def gather(
    services: Services,
    pieces: Sequence[Piece],
    *,
    owner: str,
    source: str,
    study_uid: str,
) -> Job:
    """Add DICOM files to their study, which is read when no more have come for a while.

    Files that the study has already change nothing. New ones for a study that was read before
    have it read again, whole. The pieces stay where they are, for the caller to remove.

    Args:
        study_uid: Study Instance UID; only its hash is kept in the row.

    Raises:
        NoCtImageError: as for `submit`.
    """
    if not services.settings.de_identify:
        return _gather(services, pieces, owner, source, study_uid)
    key = services.storage.key()
    folder, copies = cleaned(services, pieces)
    try:
        alias = hmac.digest(key, study_uid.encode(), "sha256").hex()
        return _gather(services, copies, owner, source, alias)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gather(
    services: Services, pieces: Sequence[Piece], owner: str, source: str, study_uid: str
) -> Job:
    id = hashlib.sha256(f"{owner}\n{study_uid}".encode()).hexdigest()[:32]
    content = "study:" + hashlib.sha256(study_uid.encode()).hexdigest()
    folder = services.storage.upload(id)
    while True:
        job = _grown(services, pieces, folder, owner=owner, source=source, content=content)
        # Whoever deletes a study takes its folder away before its row is seen to be gone. So what
        # lies there now is the row's; what does not was taken along, and begins a new study.
        if job is not None and all((folder / _name(piece)).exists() for piece in pieces):
            return job


def _grown(
    services: Services,
    pieces: Sequence[Piece],
    folder: Path,
    *,
    owner: str,
    source: str,
    content: str,
) -> Job | None:
    """The job of a study with these files in it; None if it was deleted meanwhile."""
    id, wait_s = folder.name, services.settings.quiet_s
    try:
        _add(pieces, folder)
        size_bytes, files = _measure(folder)
        job, _ = services.jobs.submit(
            id=id, owner=owner, source=source, content=content, size_bytes=size_bytes,
            files=files, wait_s=wait_s,
        )  # fmt: skip
        grown = services.jobs.extend(id, measure=lambda: _measure(folder), wait_s=wait_s)
    except FileNotFoundError:
        if not all(piece.path.exists() for piece in pieces):
            raise
        return None  # the folder went while they were added
    if grown is None:
        return None
    services.audit.write(owner, "submit", job.id, source)
    return job


def cleaned(services: Services, pieces: Sequence[Piece]) -> tuple[Path, list[Piece]]:
    """Copies of an upload's CT images without their patient, in an incoming folder of their own.

    Raises:
        NoCtImageError: there are none.
    """
    folder = services.storage.incoming()
    copies = deidentify([piece.path for piece in pieces], services.storage.key(), folder)
    if left_out := sum(not one for one in copies):
        logger.warning("%d of %d files were left out: no CT images", left_out, len(pieces))
    found = [_piece(file) for several in copies for file in several]
    if not found:
        folder.rmdir()
        raise NoCtImageError(
            "This server removes patients from what arrives, which it can do for DICOM CT images "
            "alone, and found none: send DICOM files, or a zip of them."
        )
    return folder, found


def _piece(file: Path) -> Piece:
    flush(file)
    size_bytes = file.stat().st_size
    return Piece(path=file, name=file.name, sha256=sha256_of(file), size_bytes=size_bytes)


def _add(pieces: Sequence[Piece], folder: Path) -> None:
    """Link files into a study under the names of their content."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        flush(folder.parent)
    for piece in pieces:
        with contextlib.suppress(FileExistsError):
            (folder / _name(piece)).hardlink_to(piece.path)
    flush(folder)


def _measure(folder: Path) -> tuple[int, int]:
    """The bytes and files that a study has."""
    sizes = [one.stat().st_size for one in folder.iterdir()]
    return sum(sizes), len(sizes)


def _name(piece: Piece) -> str:
    return f"{piece.sha256}.dcm"
