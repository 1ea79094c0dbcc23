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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.database import DatabaseAwayError, reason_of
from deeppneumonia.server.dicom_ledger import Delivery, Ledger
from deeppneumonia.server.dicom_scp import Listener, prepare_process
from deeppneumonia.server.dicom_send import DeliveryError, send
from deeppneumonia.server.dicom_settings import NodeSettings
from deeppneumonia.server.dicom_spool import Image, Spool, UnfitObjectError, read_through
from deeppneumonia.server.intake import NoCtImageError, gather
from deeppneumonia.server.services import open_services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import DAY_S, HOUR_S, DiskFullError, Piece
from deeppneumonia.server.worklist import State

logger = logging.getLogger(__name__)

OWNER, SOURCE = "dicom-node", "dicom"
"""What a job of the node says of its origin."""

POLL_S = 1.0
PAGE, ALL_PAGES_EVERY = 100, 60
LAST_ATTEMPT_S = 30.0
"""What a sender that is stopped may take to finish; deploy/*.service wait 45 s for all of us."""


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
        self.services = open_services(server.but(quiet_s=settings.quiet_s + POLL_S))
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
        sender = threading.Thread(
            target=self._send_until, args=(stop,), name="dicom-sender", daemon=True
        )
        sender.start()
        try:
            for round in itertools.count():
                self._work(round)
                if stop.wait(POLL_S):
                    break
        finally:
            # However this ends: a thread of ours that stayed would keep a process alive that no
            # longer listens, and nobody would start it again.
            stop.set()
            sender.join(LAST_ATTEMPT_S)

    def _work(self, round: int) -> None:
        with _tried("handing over"):
            self.hand_over()
        with _tried("looking for answers"):
            # An old study may be read anew, but that is nothing to look for every second.
            self.look_for_answers(itertools.count() if round % ALL_PAGES_EVERY == 0 else (0,))
        with _tried("tidying the spool"):
            self.tidy()

    def close(self) -> None:
        """Stop listening."""
        self.listener.close()
        self.ledger.close()
        self.services.database.dispose()

    def hand_over(self) -> None:
        """Put what has arrived into the store of jobs, study by study.

        Raises:
            DatabaseAwayError: no study can be handed over now; likewise DiskFullError.
        """
        for files in self.spool.waiting():
            try:
                self._hand_over(files)
            except (DatabaseAwayError, DiskFullError):
                raise
            except Exception as error:  # one study must not keep the others from being read
                logger.error("a study waits in the spool: %s", type(error).__name__)

    def _hand_over(self, files: list[Path]) -> None:
        images = self._readable(files)
        if not images:
            return
        try:
            job = self._gather(images)
            logger.info("%d images for job %s", len(images), job[:8])
        except NoCtImageError:
            logger.error("%d damaged images were dropped: none could be read", len(images))
        self.spool.drop([image.file for image in images])

    def _readable(self, files: list[Path]) -> list[Image]:
        """The images of a study; damaged files go, or their study would never be handed over."""
        images, damaged = [], []
        for file in files:
            try:
                images.append(read_through(file))
            except UnfitObjectError:
                damaged.append(file)
        if not damaged:
            return images
        if self.services.settings.de_identify:  # it may name its patient, whom nobody can remove
            self.spool.drop(damaged)
            logger.error("%d damaged images were dropped: they cannot be read", len(damaged))
        else:
            self.spool.set_aside(damaged)
            logger.error("%d damaged images were moved to dicom-node/damaged", len(damaged))
        return images

    def _gather(self, images: list[Image]) -> str:
        """The job that these images now belong to; they are linked, not moved, in case it fails."""
        incoming = self.services.storage.incoming()
        try:
            pieces = [_linked(image, incoming) for image in images]
            job = gather(
                self.services, pieces, owner=OWNER, source=SOURCE, study_uid=images[0].study_uid
            )
        finally:
            for left in incoming.iterdir():
                left.unlink()
            incoming.rmdir()
        return job.id

    def tidy(self) -> None:
        """Forget what broke off, and damaged images after as long as studies are kept."""
        self.spool.sweep()
        if days := self.services.settings.retention_days:
            self.spool.forget_damaged(older_than_s=days * DAY_S)

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

    def deliver(self, stop: threading.Event | None = None) -> None:
        """Send what is due, one attempt each, until `stop` is set."""
        for delivery in self.ledger.due():
            if stop is not None and stop.is_set():
                return
            try:
                remark = self._send(delivery)
            except DeliveryError as error:
                self._put_off(delivery, str(error))
            # Whatever it is, it belongs to this answer: the next one must not wait behind it.
            except Exception as error:
                self._put_off(delivery, f"The attempt broke off: {type(error).__name__}.")
            else:
                self.ledger.sent(delivery, remark)
                logger.info("job %s sent to %s %s", *_named(delivery), remark)

    def _put_off(self, delivery: Delivery, reason: str) -> None:
        again = self.ledger.failed(
            delivery,
            reason,
            retry_s=self.settings.retry_s,
            give_up_s=self.settings.give_up_hours * HOUR_S,
        )
        words = "is tried again" if again else "is given up"
        logger.warning("job %s to %s %s: %s", *_named(delivery), words, reason)

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
            with _tried("sending"):
                self.deliver(stop)
            with _tried("writing the audit log"):
                self.note_in_audit()


def run_node(server: Settings, settings: NodeSettings, stop: threading.Event) -> None:
    """Listen and send until `stop` is set; a process is a node or something else, not both."""
    warnings.simplefilter("ignore")  # pydicom's quote values, patients' names included
    node = Node(server, settings)
    logger.info("%s listens on %s:%d", settings.ae_title, settings.host, node.listener.port)
    try:
        node.run(stop)
    finally:
        node.close()


@contextmanager
def _tried(what: str) -> Iterator[None]:
    """A step of the node's work: when it fails, the others go on, and it is tried again."""
    try:
        yield
    except DatabaseAwayError as error:
        logger.warning("%s waits: the database does not answer (%s)", what, reason_of(error))
    # Its text may quote an image. A disk without space has many names, sqlite3's among them.
    except Exception as error:
        logger.error("%s broke off and is tried again: %s", what, type(error).__name__)


def _linked(image: Image, folder: Path) -> Piece:
    path = folder / f"{secrets.token_hex(8)}.dcm"
    path.hardlink_to(image.file)
    return Piece(path=path, name=path.name, sha256=image.sha256, size_bytes=path.stat().st_size)


def _named(delivery: Delivery) -> tuple[str, str]:
    return delivery.job[:8], delivery.destination
