"""What stands in the store of jobs: one job, the list of them, a job's place in the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select

from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import JOBS


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


OPEN = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One study that was accepted, and how far it is. Times are seconds since 1970."""

    id: str
    owner: str
    source: str
    label: str
    content: str
    bytes: int
    files: int
    state: State
    submitted: float
    not_before: float
    fence: int
    worker: str | None
    lease_until: float | None
    started: float | None
    finished: float | None
    failures: int
    crashes: int
    reason: str | None
    status: str | None
    diagnosis: str | None
    result: str | None


class Worklist:
    """Jobs as they are seen from outside; changes nothing."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, id: str) -> Job | None:
        """One job, or None."""
        return self._find(JOBS.c.id == id)

    def list(
        self,
        *,
        owner: str | None = None,
        state: State | None = None,
        search: str = "",
        answer: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Job], int]:
        """Jobs from the newest on, and how many there are in all.

        Args:
            owner: whose; None for everybody's.
            search: words that must all occur in label, status or diagnosis, or begin the id.
            answer: a status or a diagnosis; empty for any.
        """
        wanted = _filtered(owner, state, search)
        if answer:
            wanted = wanted.where(or_(JOBS.c.status == answer, JOBS.c.diagnosis == answer))
        page = wanted.order_by(JOBS.c.submitted.desc(), JOBS.c.id).limit(limit).offset(offset)
        with self.database.read() as connection:
            total = connection.execute(
                select(func.count()).select_from(wanted.subquery())
            ).scalar_one()
            return [job_of(row) for row in connection.execute(page)], total

    def places(self, jobs: Sequence[Job]) -> dict[str, int]:
        """By id, the places of those of these jobs that wait; 1 for the one whose turn is next."""
        waiting = [job.id for job in jobs if job.state is State.QUEUED]
        if not waiting:
            return {}
        other = JOBS.alias()
        is_before = or_(
            other.c.submitted < JOBS.c.submitted,
            and_(other.c.submitted == JOBS.c.submitted, other.c.id < JOBS.c.id),
        )
        before = select(func.count()).where(other.c.state == State.QUEUED, is_before)
        query = select(JOBS.c.id, 1 + before.scalar_subquery()).where(JOBS.c.id.in_(waiting))
        with self.database.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def counts(self, owner: str | None = None) -> dict[State, int]:
        """How many jobs stand where."""
        query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        with self.database.read() as connection:
            found = {State(row[0]): int(row[1]) for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def finished_before(self, age_s: float) -> Sequence[str]:
        """Ids of jobs that were finished longer ago than this, in whatever way."""
        with self.database.read() as connection:
            query = select(JOBS.c.id).where(self._finished_for(age_s))
            return connection.execute(query).scalars().all()

    def _finished_for(self, age_s: float) -> ColumnElement[bool]:
        return and_(JOBS.c.state.not_in(OPEN), JOBS.c.finished < self.database.now - age_s)

    def _find(self, *conditions: ColumnElement[bool]) -> Job | None:
        with self.database.read() as connection:
            row = connection.execute(select(JOBS).where(*conditions)).one_or_none()
        return None if row is None else job_of(row)


def _filtered(owner: str | None, state: State | None, search: str) -> Select[Any]:
    query = select(JOBS)
    if owner is not None:
        query = query.where(JOBS.c.owner == owner)
    if state is not None:
        query = query.where(JOBS.c.state == state)
    for word in search.split()[:8]:
        columns = (JOBS.c.label, JOBS.c.status, JOBS.c.diagnosis)
        matches = [one.icontains(word, autoescape=True) for one in columns]
        if len(word) >= 4:  # shorter ones stand at the start of some id by chance
            matches.append(JOBS.c.id.startswith(word.lower(), autoescape=True))
        query = query.where(or_(*matches))
    return query


def job_of(row: Row[Any]) -> Job:
    """A row of the table as a job."""
    return Job(**{**row._mapping, "state": State(row.state)})
