"""The DICOM node: images from a PACS become jobs in the server's store, answers go back to it.

    peer ─C-STORE─► spool ─► store of jobs ─► worker ─► answer ─C-STORE, STOW─► PACS

Each arrow ends on a disk before the one before it is forgotten, so that the process may be killed
at any time. It reads UIDs of images, nothing more; workers read the rest.
"""

import itertools
import logging
import secrets
import threading
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from deeppneumonia.errors import ConfigError
from deeppneumonia.files import sha256_of
from deeppneumonia.server.database import DatabaseAwayError
from deeppneumonia.server.dicom_ledger import Delivery, Ledger
from deeppneumonia.server.dicom_scp import Listener, prepare_process
from deeppneumonia.server.dicom_send import DeliveryError, send
from deeppneumonia.server.dicom_settings import NodeSettings
from deeppneumonia.server.dicom_spool import Spool, uids_of
from deeppneumonia.server.intake import NoCtImageError, gather
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import DiskFullError, Piece
from deeppneumonia.server.worklist import State

logger = logging.getLogger(__name__)

OWNER, SOURCE = "dicom-node", "dicom"
"""What a job of the node says of its origin."""

POLL_S = 1.0
PAGE, ALL_PAGES_EVERY = 100, 60
HOUR_S = 3600.0


class Node:
    """A DICOM node that listens from its making until it is closed."""

    def __init__(self, server: Settings, settings: NodeSettings) -> None:
        if server.de_identify and settings.destinations:
            raise ConfigError(
                "The server removes patients from what arrives (de_identify), so that an archive "
                "could not file our answers: take out either de_identify or the destinations."
            )
        self.settings = settings
        # Images come here in rounds, so that what came last may have waited for one already.
        self.services = Services.open(server.but(quiet_s=settings.quiet_s + POLL_S))
        folder = server.folder / "dicom-node"
        self.spool = Spool(folder, self.services.storage)
        self.ledger = Ledger(folder / "ledger.db")
        self._owed: set[tuple[str, float, str]] = set()
        self._destinations = {one.name: one for one in settings.destinations}
        prepare_process(self.spool)
        self.spool.sweep(older_than_s=0)
        self.listener = Listener(settings, self.spool)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what cannot be done now is tried again."""
        sender = threading.Thread(target=self._send_until, args=(stop,), name="dicom-sender")
        sender.start()
        for round in itertools.count():
            try:
                self.hand_over()
                # An old study may be read anew, but that is nothing to look for every second.
                self.look_for_answers(itertools.count() if round % ALL_PAGES_EVERY == 0 else (0,))
                self.spool.sweep()
            except DatabaseAwayError:
                logger.warning("the database does not answer; images wait in the spool")
            except (DiskFullError, OSError) as error:
                logger.error("images wait in the spool: %s", type(error).__name__)
            if stop.wait(POLL_S):
                break
        sender.join()

    def close(self) -> None:
        """Stop listening."""
        self.listener.close()
        self.ledger.close()
        self.services.database.dispose()

    def hand_over(self) -> None:
        """Put what has arrived into the store of jobs, study by study."""
        for files in self.spool.waiting():
            try:
                job = self._gather(files)
                logger.info("%d images for job %s", len(files), job[:8])
            except NoCtImageError:
                logger.error("%d damaged images were dropped: none could be read", len(files))
            self.spool.drop(files)

    def _gather(self, files: list[Path]) -> str:
        """The job that these images now belong to; they are linked, not moved, in case it fails."""
        study_uid = str(uids_of(files[0]).StudyInstanceUID)
        incoming = self.services.storage.incoming()
        try:
            pieces = [_linked(file, incoming) for file in files]
            job = gather(self.services, pieces, owner=OWNER, source=SOURCE, study_uid=study_uid)
        finally:
            for left in incoming.iterdir():
                left.unlink()
            incoming.rmdir()
        return job.id

    def look_for_answers(self, pages: Iterable[int]) -> None:
        """Owe the answers that are there to every destination; also those of a study read anew.

        Args:
            pages: of the list of jobs, 0 for the newest ones.
        """
        oldest = time.time() - self.settings.give_up_hours * HOUR_S
        for page in pages if self._destinations else ():
            jobs, _ = self.services.jobs.list(
                owner=OWNER, state=State.DONE, limit=PAGE, offset=page * PAGE
            )
            for job in jobs:
                answer = (job.id, job.submitted, str(job.result))
                if answer not in self._owed and (job.finished or 0) >= oldest:
                    self.ledger.owe(*answer, self._destinations)
                    self._owed.add(answer)
            if len(jobs) < PAGE:
                return

    def deliver(self) -> None:
        """Send what is due, one attempt each."""
        for delivery in self.ledger.due():
            try:
                remark = self._send(delivery)
            except DeliveryError as error:
                again = self.ledger.failed(
                    delivery,
                    str(error),
                    retry_s=self.settings.retry_s,
                    give_up_s=self.settings.give_up_hours * HOUR_S,
                )
                words = "is tried again" if again else "is given up"
                logger.warning("job %s to %s %s: %s", *_named(delivery), words, error)
            else:
                self.ledger.sent(delivery, remark)
                logger.info("job %s sent to %s %s", *_named(delivery), remark)

    def note_in_audit(self) -> None:
        """Write what was sent into the audit log; a kill may have it stand there twice."""
        for delivery in self.ledger.unnoted():
            self.services.audit.write(OWNER, "send", delivery.job, delivery.destination)
            self.ledger.noted(delivery)

    def _send(self, delivery: Delivery) -> str:
        destination = self._destinations.get(delivery.destination)
        if destination is None:
            raise DeliveryError("There is no such destination any more.")
        folder = self.services.storage.result(delivery.job, delivery.result)
        files = sorted(folder.glob("*.dcm"))
        if not files:  # deleted since, or about a source that no object can refer to
            return "nothing: the answer has no DICOM objects"
        return send(files, destination, ae_title=self.settings.ae_title)

    def _send_until(self, stop: threading.Event) -> None:
        while not stop.wait(POLL_S):
            try:
                self.deliver()
                self.note_in_audit()
            except DatabaseAwayError:
                logger.warning("the database does not answer; the audit log is written later")
            except Exception as error:  # one answer must not keep the others from being sent
                logger.error("sending broke off: %s", type(error).__name__)


def run_node(server: Settings, settings: NodeSettings, stop: threading.Event) -> None:
    """Listen and send until `stop` is set; a process is a node or something else, not both."""
    warnings.simplefilter("ignore")  # pydicom's quote values, patients' names included
    node = Node(server, settings)
    logger.info("%s listens on %s:%d", settings.ae_title, settings.host, node.listener.port)
    try:
        node.run(stop)
    finally:
        node.close()


def _linked(file: Path, folder: Path) -> Piece:
    path = folder / f"{secrets.token_hex(8)}.dcm"
    path.hardlink_to(file)
    return Piece(path=path, name=path.name, sha256=sha256_of(file), size_bytes=file.stat().st_size)


def _named(delivery: Delivery) -> tuple[str, str]:
    return delivery.job[:8], delivery.destination
