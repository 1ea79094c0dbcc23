"""What readers say of answers, and the labelled manifest that fine-tuning makes of it."""

import contextlib
import csv
import io
import secrets
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, insert, select

from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import FEEDBACK, JOBS
from deeppneumonia.server.storage import Storage
from deeppneumonia.server.worklist import Job, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One reader's word on one answer."""

    reader: str
    agrees: bool
    label: str | None
    """What the reader says it is; None when it is none of the labels, or not known."""

    comment: str
    created: float = 0.0
    """Seconds since 1970, set by the store."""

    is_earlier: bool = False
    """It is about an answer from before the study was read again; set by the store."""

    @property
    def time(self) -> str:
        """When it was said, in UTC."""
        return datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%d %H:%M UTC")


class FeedbackStore:
    """Every word that was said of the studies that are there; nothing is overwritten."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, job: Job, feedback: Feedback) -> bool:
        """Keep one reader's word; False if the study is gone or its answer is another by now."""
        row = {
            "id": secrets.token_hex(16), "job": job.id, "reader": feedback.reader,
            "agrees": feedback.agrees, "label": feedback.label, "comment": feedback.comment,
        }  # fmt: skip
        as_seen = select(JOBS.c.id).where(JOBS.c.id == job.id, JOBS.c.result == job.result)
        with self.database.write() as connection:
            # Locked, so that nobody deletes the study, and all words on it, just before this one.
            if connection.execute(as_seen.with_for_update(read=True)).first() is None:
                return False
            connection.execute(insert(FEEDBACK).values(**row, created=self.database.now))
        return True

    def of_study(self, job: str) -> list[Feedback]:
        """The last word of each reader, the newest first."""
        return list(reversed(self._last_words(job).get(job, {}).values()))

    def labels(self) -> dict[str, str]:
        """The label of each study whose readers named one, and all the same.

        Words on an earlier answer give none: it may have been about fewer images.
        """
        found = {}
        for job, words in self._last_words().items():
            said = {one.label for one in words.values() if not one.is_earlier}
            label = said.pop() if said else None
            if label is not None and not said:
                found[job] = label
        return found

    def _last_words(self, job: str | None = None) -> dict[str, dict[str, Feedback]]:
        is_current = and_(JOBS.c.state == State.DONE, FEEDBACK.c.created >= JOBS.c.finished)
        query = (
            select(FEEDBACK, is_current.label("is_current"))
            .join(JOBS, JOBS.c.id == FEEDBACK.c.job)
            .order_by(FEEDBACK.c.created, FEEDBACK.c.id)
        )
        if job is not None:
            query = query.where(FEEDBACK.c.job == job)
        words: dict[str, dict[str, Feedback]] = defaultdict(dict)
        with self.database.read() as connection:
            for row in connection.execute(query):
                words[row.job].pop(row.reader, None)  # so that the order is that of last words
                words[row.job][row.reader] = Feedback(
                    reader=row.reader, agrees=row.agrees, label=row.label, comment=row.comment,
                    created=row.created, is_earlier=not row.is_current,
                )  # fmt: skip
        return words


def manifest_csv(database: Database, storage: Storage) -> str:
    """A manifest of the studies that readers have labelled and that still lie on the disk.

    Its paths are relative to the data folder. Two studies are taken for two patients unless the
    same files were sent twice: see docs/how-to/use-the-page.md before splitting it.
    """
    labels = FeedbackStore(database).labels()
    with database.read() as connection:
        query = select(JOBS.c.id, JOBS.c.content).where(JOBS.c.id.in_(labels))
        found = connection.execute(query.order_by(JOBS.c.submitted)).all()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "patient_id", "label", "study_id"])
    for id, content in found:
        with contextlib.suppress(FileNotFoundError):
            path = storage.study(id).relative_to(storage.data)
            writer.writerow([path, content.rpartition(":")[2][:16], labels[id], id])
    return text.getvalue()
