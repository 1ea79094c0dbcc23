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
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    job TEXT NOT NULL,
    submitted REAL NOT NULL,  -- seconds since 1970, as all times; a job that was deleted and came
    result TEXT NOT NULL,     -- again has the same id and the same names of results
    destination TEXT NOT NULL,
    state TEXT NOT NULL,      -- waiting, sent, failed
    attempts INTEGER NOT NULL,
    made REAL NOT NULL,
    due REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job, submitted, result, destination)
);
"""
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
        rows = self._rows(
            "SELECT job, submitted, result, destination, attempts, made FROM deliveries "
            "WHERE state = 'waiting' AND due <= ? ORDER BY due",
            time.time(),
        )
        return [Delivery(*row) for row in rows]

    def sent(self, delivery: Delivery, remark: str = "") -> None:
        """The destination has the objects; `remark` names what it did not want."""
        self._mark(delivery, "sent", delivery.attempts + 1, time.time(), remark)

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
        which = (delivery.job, delivery.submitted, delivery.result, delivery.destination)
        with self._writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, due = ?, reason = ? "
                "WHERE job = ? AND submitted = ? AND result = ? AND destination = ?",
                (state, attempts, due, reason, *which),
            )

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            yield self._connection
