"""From files that have arrived to a job in the queue: the one way in for every route."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.files import flush
from deeppneumonia.server.accounts import Principal, Right
from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import Piece
from deeppneumonia.server.worklist import Job, State


class QueueFullError(DeepPneumoniaError):
    """More studies wait than the server lets wait; answered with status 429."""


def check_queue(services: Services, principal: Principal) -> None:
    """QueueFullError when this principal, or everybody together, has enough waiting."""
    settings = services.settings
    waiting = services.jobs.counts()[State.QUEUED]
    own = services.jobs.counts(principal.name)[State.QUEUED]
    if waiting >= settings.max_queued or (
        own >= settings.max_queued_per_owner and not principal.may(Right.ADMIN)
    ):
        raise QueueFullError(f"{waiting} studies are waiting already: try again in a minute.")


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
    """
    upload = services.storage.keep(folder, pieces)
    job, is_new = services.jobs.submit(
        id=upload.id,
        owner=owner,
        source=source,
        content=upload.content,
        size_bytes=upload.size_bytes,
        files=upload.files,
        label=label,
    )
    if is_new:
        services.audit.write(owner, "submit", job.id, source)
    else:
        services.storage.remove(upload.id)
    return job, is_new


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
    have it read again, whole.

    Args:
        study_uid: Study Instance UID; only its hash is kept in the row.
    """
    content = "study:" + hashlib.sha256(study_uid.encode()).hexdigest()
    id = hashlib.sha256(f"{owner}\n{study_uid}".encode()).hexdigest()[:32]
    folder = services.storage.upload(id)
    for piece in pieces:
        _add(piece, folder)
    flush(folder)
    files = list(folder.iterdir())
    size_bytes, wait_s = sum(one.stat().st_size for one in files), services.settings.quiet_s
    job, is_new = services.jobs.submit(
        id=id, owner=owner, source=source, content=content, size_bytes=size_bytes,
        files=len(files), wait_s=wait_s,
    )  # fmt: skip
    # A study always has the same id, so that its row is "new" to submit whenever more of it comes.
    if job.files != len(files):
        services.jobs.extend(id, size_bytes=size_bytes, files=len(files), wait_s=wait_s)
    elif is_new:
        services.audit.write(owner, "submit", job.id, source)
    return job


def _add(piece: Piece, folder: Path) -> None:
    """Move a file into a study under the name of its content, unless it is there already."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        flush(folder.parent)
    target = folder / f"{piece.sha256}.dcm"
    if not target.exists():
        piece.path.rename(target)
