"""The one store of jobs. What was accepted is never lost, and what was finished is done once.

    queued ──claim──► running ──finish──► done
      ▲  ▲              │  │
      │  └──fail, lease over (with a wait)──┴─ too often ──► dead
      └────────── requeue ─────────── dead, cancelled, done
    queued, running ──cancel──► cancelled

Each claim raises the job's fence. Whoever comes back with an older fence has lost the job, and
nothing it reports counts. A job that is done has an answer, and no other has one: a study that
grows or is read again loses its own, for it would be about other images. A failure is an error
that the work reported; a crash is a worker that vanished. They are counted apart, because a study
that kills workers is another matter than a full disk.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import FEEDBACK, JOBS
from deeppneumonia.server.storage import HOUR_S
from deeppneumonia.server.worklist import OPEN, Job, State, Worklist, job_of

FIRST_FENCES = 2**30
"""A fence begins at a random number below this, and has as many again to grow by. A study that is
deleted and comes again has the same id: from 0, its fence would meet that of a worker which still
has the old one in hand. Unlike one from a clock, it is safe whatever the time is put to."""

GROWN = "Images came after the answer: it counts no more, and the study is read again, whole."


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job, until the lease is over or the fence has moved."""

    id: str
    fence: int
    files: int
    """How many the study has at least; more may be coming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often a job is tried; the fields are those of `Settings`."""

    lease_s: float = 60.0
    max_failures: int = 3
    max_crashes: int = 5
    backoff_s: float = 2.0

    @property
    def farthest_s(self) -> float:
        """Beyond every wait and lease: what ends later was set before the clock went back."""
        most = min(max(self.max_failures, self.max_crashes), 1000)  # 2.0**1024 overflows
        return max(2 * self.lease_s, 2 * self.backoff_s * 2.0**most, HOUR_S)


class JobStore(Worklist):
    """Jobs in a database that many processes share."""

    def __init__(self, database: Database, patience: Patience | None = None) -> None:
        super().__init__(database)
        self.patience = patience or Patience()

    def submit(
        self,
        *,
        id: str,
        owner: str,
        source: str,
        content: str,
        size_bytes: int,
        files: int,
        label: str = "",
        wait_s: float = 0.0,
    ) -> tuple[Job, bool]:
        """Accept an upload that lies safely on the disk under `uploads/ID`.

        Returns:
            The job, and whether it is new. The same content from the same owner is the same job,
            and the caller then removes the second upload.
        """
        now = self.database.now
        values = {
            "id": id, "owner": owner, "source": source, "content": content, "label": label[:200],
            "bytes": size_bytes, "files": files, "state": State.QUEUED, "submitted": now,
            "not_before": now + wait_s, "fence": secrets.randbelow(FIRST_FENCES),
            "failures": 0, "crashes": 0,
        }  # fmt: skip
        try:
            with self.database.write() as connection:
                new = connection.execute(insert(JOBS).values(values).returning(JOBS)).one()
        except IntegrityError:
            known = self._find(JOBS.c.owner == owner, JOBS.c.content == content)
            if known is None:  # deleted between the two statements
                return self.submit(
                    id=id, owner=owner, source=source, content=content, size_bytes=size_bytes,
                    files=files, label=label, wait_s=wait_s,
                )  # fmt: skip
            return known, known.id == id
        return job_of(new), True

    def extend(
        self, id: str, *, measure: Callable[[], tuple[int, int]], wait_s: float
    ) -> bool | None:
        """Whether a study has grown; then it waits, and is read anew. None if there is no such one.

        Args:
            measure: its bytes and files now; asked while nobody else extends or deletes it, so that
                whoever comes last has counted what all have added.
        """
        reason = case(
            (JOBS.c.result.is_not(None), GROWN),
            (JOBS.c.state.in_(OPEN), JOBS.c.reason),  # more of them come after the first
            else_=None,
        )
        values = self._anew() | {"not_before": self.database.now + wait_s, "reason": reason}
        known = select(JOBS.c.files).where(JOBS.c.id == id).with_for_update()
        with self.database.write() as connection:
            row = connection.execute(known).one_or_none()
            if row is None:
                return None
            size_bytes, files = measure()
            if files == row.files:
                return False
            size = {"bytes": size_bytes, "files": files}
            connection.execute(update(JOBS).where(JOBS.c.id == id).values(values | size))
        return True

    def claim(self, worker: str) -> Claim | None:
        """The job whose turn it is, or None; it is this worker's for `lease_s`."""
        with self.database.read() as connection:
            if not connection.execute(select(self._work_is_waiting())).scalar():
                return None
        now = self.database.now
        due = (
            select(JOBS.c.id)
            .where(JOBS.c.state == State.QUEUED, self._is_over(JOBS.c.not_before))
            .order_by(JOBS.c.submitted, JOBS.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = {
            "state": State.RUNNING, "fence": JOBS.c.fence + 1, "worker": worker,
            "lease_until": now + self.patience.lease_s,
            "started": func.coalesce(JOBS.c.started, now),
        }  # fmt: skip
        with self.database.write() as connection:
            self._take_back(connection, self._is_over(JOBS.c.lease_until))
            row = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == due.scalar_subquery(), JOBS.c.state == State.QUEUED)
                .values(taken)
                .returning(JOBS.c.id, JOBS.c.fence, JOBS.c.files)
            ).one_or_none()
        return None if row is None else Claim(row.id, row.fence, row.files)

    def heartbeat(self, claim: Claim) -> bool:
        """Keep the lease; False when the job is no longer this claim's."""
        lease = self.database.now + self.patience.lease_s
        return self._change({"lease_until": lease}, *_held(claim))

    def finish(self, claim: Claim, *, status: str, diagnosis: str | None, result: str) -> bool:
        """Put the answer in place; False when the job is no longer this claim's.

        Asking twice is answered the same, so that it can be repeated when the database went away.
        """
        values = {
            "state": State.DONE, "status": status, "diagnosis": diagnosis, "result": result,
            "finished": self.database.now, "lease_until": None, "reason": None,
        }  # fmt: skip
        if self._change(values, *_held(claim)):
            return True
        job = self.get(claim.id)
        return job is not None and (job.state, job.fence) == (State.DONE, claim.fence)

    def fail(self, claim: Claim, reason: str) -> bool:
        """The work reported an error: try again later, or give up after `max_failures`."""
        times = JOBS.c.failures + 1
        is_dead = times >= self.patience.max_failures
        return self._change({**self._again(is_dead, times), "failures": times, "reason": reason},
                            *_held(claim))  # fmt: skip

    def release(self, claim: Claim) -> bool:
        """Give a job back untouched, as a worker does that is asked to stop."""
        values = {"state": State.QUEUED, "worker": None, "lease_until": None}
        return self._change(values, *_held(claim))

    def worker_is_gone(self, worker: str) -> int:
        """Take back what a vanished worker held without waiting for its lease; returns how many."""
        with self.database.write() as connection:
            return self._take_back(connection, JOBS.c.worker == worker)

    def running_workers(self) -> set[str]:
        """Names of the workers that hold a job."""
        with self.database.read() as connection:
            names = connection.execute(
                select(JOBS.c.worker).where(JOBS.c.state == State.RUNNING).distinct()
            ).scalars()
            return {name for name in names if name}

    def cancel(self, id: str) -> bool:
        """Stop a job that is not finished; what a worker still makes of it is thrown away."""
        values = {
            "state": State.CANCELLED, "fence": JOBS.c.fence + 1, "finished": self.database.now,
            "lease_until": None, "reason": "Cancelled.",
        }  # fmt: skip
        return self._change(values, JOBS.c.id == id, JOBS.c.state.in_(OPEN))

    def requeue(self, id: str) -> bool:
        """Try a job again from the start that is dead, cancelled or done."""
        return self._change(self._anew(), JOBS.c.id == id, JOBS.c.state.not_in(OPEN))

    def delete(
        self, id: str, *, finished_for_s: float | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> bool:  # fmt: skip
        """Forget a job and what its readers have said.

        Args:
            finished_for_s: only if it has been finished for longer than this, and is still.
            then: called if so, before anybody sees it; an error there keeps the job.

        Returns:
            Whether there was such a job.
        """
        which = [JOBS.c.id == id]
        if finished_for_s is not None:
            which.append(self._finished_for(finished_for_s))
        with self.database.write() as connection:
            if connection.execute(delete_from(JOBS).where(*which)).rowcount == 0:
                return False
            connection.execute(delete_from(FEEDBACK).where(FEEDBACK.c.job == id))
            then()
        return True

    def _anew(self) -> dict[str, Any]:
        return {
            "state": State.QUEUED, "not_before": self.database.now, "fence": JOBS.c.fence + 1,
            "failures": 0, "crashes": 0, "reason": None, "finished": None, "started": None,
            "status": None, "diagnosis": None, "result": None, "worker": None, "lease_until": None,
        }  # fmt: skip

    def _change(self, values: dict[str, Any], *conditions: ColumnElement[bool]) -> bool:
        with self.database.write() as connection:
            return connection.execute(update(JOBS).where(*conditions).values(values)).rowcount == 1

    def _work_is_waiting(self) -> ColumnElement[bool]:
        return exists().where(
            or_(
                and_(JOBS.c.state == State.QUEUED, self._is_over(JOBS.c.not_before)),
                and_(JOBS.c.state == State.RUNNING, self._is_over(JOBS.c.lease_until)),
            )
        )

    def _is_over(self, moment: ColumnElement[float]) -> ColumnElement[bool]:
        """Passed, or set by a clock that has been put back by hours since."""
        now = self.database.now
        return or_(moment <= now, moment > now + self.patience.farthest_s)

    def _take_back(self, connection: Connection, which: ColumnElement[bool]) -> int:
        times = JOBS.c.crashes + 1
        is_dead = times >= self.patience.max_crashes
        reason = "The program that read the study broke off without a word."
        values = {**self._again(is_dead, times), "crashes": times, "reason": reason}
        lost = update(JOBS).where(JOBS.c.state == State.RUNNING, which).values(values)
        return connection.execute(lost).rowcount

    def _again(self, is_dead: ColumnElement[bool], times: ColumnElement[int]) -> dict[str, Any]:
        now = self.database.now
        wait_s = self.patience.backoff_s * func.power(2.0, times - 1)
        return {
            "state": case((is_dead, State.DEAD), else_=State.QUEUED),
            "not_before": now + wait_s,
            "finished": case((is_dead, now), else_=None),
            "worker": None,
            "lease_until": None,
        }


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return JOBS.c.id == claim.id, JOBS.c.fence == claim.fence, JOBS.c.state == State.RUNNING
