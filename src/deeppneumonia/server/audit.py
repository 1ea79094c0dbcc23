"""Who did what and when: a log that is only added to, each entry sealed with the one before it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select, text

from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import AUDIT

START = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log. `object` is a study's id or a user's name; nothing names a patient."""

    number: int
    at: str
    actor: str
    action: str
    object: str
    detail: str
    previous: str
    digest: str


class AuditLog:
    """The chain in the database. An entry's digest covers the digest before it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def write(self, actor: str, action: str, object: str = "", detail: str = "") -> None:
        """Add an entry."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self.database.write() as connection:
            if not self.database.is_sqlite:  # one writer at a time, as SQLite has anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(5022)"))
            last = connection.execute(
                select(AUDIT.c.number, AUDIT.c.digest).order_by(AUDIT.c.number.desc()).limit(1)
            ).one_or_none()
            number, previous = (1, START) if last is None else (last.number + 1, last.digest)
            fields = (number, at, actor[:64], action, object[:64], detail[:200], previous)
            entry = AuditEntry(*fields, digest=_digest(*fields))
            connection.execute(insert(AUDIT).values(asdict(entry)))

    def entries(self, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Entries in their order, from the one after `after`."""
        query = select(AUDIT).where(AUDIT.c.number > after).order_by(AUDIT.c.number).limit(limit)
        with self.database.read() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query)]

    def last(self) -> AuditEntry | None:
        """The newest entry; its digest, noted elsewhere, also shows when a log was cut short."""
        query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(1)
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else AuditEntry(**row._mapping)

    def first_break(self) -> int | None:
        """The number of the first entry that does not fit the chain; None when all do."""
        previous, expected = START, 1
        for entry in self._all():
            fields = (entry.number, entry.at, entry.actor, entry.action, entry.object, entry.detail)
            if (
                entry.number != expected
                or entry.previous != previous
                or entry.digest != _digest(*fields, previous)
            ):
                return expected
            previous, expected = entry.digest, expected + 1
        return None

    def _all(self) -> Iterator[AuditEntry]:
        after = 0
        while page := self.entries(after):
            yield from page
            after = page[-1].number


def _digest(*fields: object) -> str:
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
