"""What the node has handed in and sent out, in a small SQLite file of its own."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY,
    settled INTEGER NOT NULL  -- 1 when nothing more is expected of it
);
CREATE TABLE IF NOT EXISTS deliveries (
    job TEXT NOT NULL,
    destination TEXT NOT NULL,
    result TEXT NOT NULL,
    state TEXT NOT NULL,      -- waiting, sent, failed
    attempts INTEGER NOT NULL,
    made REAL NOT NULL,       -- seconds since 1970, as due
    due REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job, destination, result)
);
"""
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer on its way to one destination."""

    job: str
    destination: str
    result: str
    attempts: int
    made: float


class Ledger:
    """Jobs and deliveries; every change is on the disk when its method returns."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(TABLES)

    def expect(self, job: str) -> None:
        """An answer of this job is now waited for."""
        self._do("INSERT OR REPLACE INTO jobs VALUES (?, 0)", job)

    def expected(self) -> list[str]:
        """Jobs of which an answer is waited for."""
        return [str(row[0]) for row in self._rows("SELECT job FROM jobs WHERE settled = 0")]

    def settle(self, job: str, *, result: str | None, destinations: Sequence[str]) -> None:
        """The job has ended; its result, if there is one, is due wherever it has not been yet."""
        now = time.time()
        with self._writing() as connection:
            for name in destinations if result is not None else ():
                connection.execute(
                    "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, 'waiting', 0, ?, ?, '')",
                    (job, name, result, now, now),
                )
            connection.execute("UPDATE jobs SET settled = 1 WHERE job = ?", (job,))

    def due(self) -> list[Delivery]:
        """Deliveries whose time has come, the oldest first."""
        rows = self._rows(
            "SELECT job, destination, result, attempts, made FROM deliveries "
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

    def states(self) -> dict[str, int]:
        """How many deliveries wait, were sent, failed."""
        rows = self._rows("SELECT state, count(*) FROM deliveries GROUP BY state")
        return {str(state): int(count) for state, count in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _mark(self, delivery: Delivery, state: str, attempts: int, due: float, reason: str) -> None:
        self._do(
            "UPDATE deliveries SET state = ?, attempts = ?, due = ?, reason = ? "
            "WHERE job = ? AND destination = ? AND result = ?",
            state, attempts, due, reason, delivery.job, delivery.destination, delivery.result,
        )  # fmt: skip

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _do(self, statement: str, *values: object) -> None:
        with self._writing() as connection:
            connection.execute(statement, values)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            yield self._connection
