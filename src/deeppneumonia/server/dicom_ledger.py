"""What the node owes to whom and what it has sent, in a small SQLite file of its own.

Of its own, because sending belongs to the one node that knows the destinations, and goes on while
the server's database is away.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    job TEXT NOT NULL,
    submitted REAL NOT NULL,  -- seconds since 1970, as all times; a job that was deleted and came
    result TEXT NOT NULL,     -- again has the same id and the same names of results
    destination TEXT NOT NULL,
    state TEXT NOT NULL,      -- waiting, unnoted (sent, not yet in the audit log), sent, failed
    attempts INTEGER NOT NULL,
    made REAL NOT NULL,
    due REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job, submitted, result, destination)
);
"""
WHICH = "job = ? AND submitted = ? AND result = ? AND destination = ?"
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer on its way to one destination."""

    job: str
    submitted: float
    result: str
    destination: str
    attempts: int
    made: float


class Ledger:
    """Deliveries; every change is on the disk when its method returns."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(TABLES)

    def owe(self, job: str, submitted: float, result: str, destinations: Iterable[str]) -> None:
        """This answer is due at each destination, unless it has been owed there before."""
        now = time.time()
        with self._writing() as connection:
            for name in destinations:
                connection.execute(
                    "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, ?, 'waiting', 0, ?, ?, '')",
                    (job, submitted, result, name, now, now),
                )

    def due(self) -> list[Delivery]:
        """Deliveries whose time has come, the oldest first."""
        return self._deliveries("waiting")

    def sent(self, delivery: Delivery, remark: str = "") -> None:
        """The destination has the objects; `remark` names what it did not want."""
        self._mark(delivery, "unnoted", delivery.attempts + 1, time.time(), remark)

    def unnoted(self) -> list[Delivery]:
        """Deliveries that were sent and do not stand in the audit log yet."""
        return self._deliveries("unnoted")

    def noted(self, delivery: Delivery) -> None:
        """The audit log has it: nothing more is to be done."""
        with self._writing() as connection:
            connection.execute(
                f"UPDATE deliveries SET state = 'sent' WHERE {WHICH}", _which(delivery)
            )

    def failed(self, delivery: Delivery, reason: str, *, retry_s: float, give_up_s: float) -> bool:
        """It does not; returns whether it is tried again."""
        now = time.time()
        attempts = delivery.attempts + 1
        again = now - delivery.made < give_up_s
        wait_s = min(retry_s * 2**delivery.attempts, LONGEST_WAIT_S)
        self._mark(delivery, "waiting" if again else "failed", attempts, now + wait_s, reason)
        return again

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _mark(self, delivery: Delivery, state: str, attempts: int, due: float, reason: str) -> None:
        with self._writing() as connection:
            connection.execute(
                f"UPDATE deliveries SET state = ?, attempts = ?, due = ?, reason = ? WHERE {WHICH}",
                (state, attempts, due, reason, *_which(delivery)),
            )

    def _deliveries(self, state: str) -> list[Delivery]:
        now = time.time()
        # What is due beyond the longest wait was put there before the clock went back.
        with self._lock:
            rows = self._connection.execute(
                "SELECT job, submitted, result, destination, attempts, made FROM deliveries "
                "WHERE state = ? AND (due <= ? OR due > ?) ORDER BY due",
                (state, now, now + LONGEST_WAIT_S),
            ).fetchall()
        return [Delivery(*row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            yield self._connection


def _which(delivery: Delivery) -> tuple[object, ...]:
    return delivery.job, delivery.submitted, delivery.result, delivery.destination
