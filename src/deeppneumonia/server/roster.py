"""Which worker processes there are, on all hosts; they sign on when their model is loaded."""

from sqlalchemy import delete, func, insert, select, update

from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import WORKERS

SILENT_S = 30.0
"""A worker that was not seen for this long does not count."""


class Roster:
    """Names of workers, and when each was last seen."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def sign_on(self, name: str) -> None:
        """From now on there is this worker."""
        now = self.database.now
        with self.database.write() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.name == name))
            connection.execute(insert(WORKERS).values(name=name, started=now, seen=now))

    def see(self, name: str) -> None:
        """The worker is alive."""
        seen = update(WORKERS).where(WORKERS.c.name == name).values(seen=self.database.now)
        with self.database.write() as connection:
            connection.execute(seen)

    def sign_off(self, name: str) -> None:
        """The worker has left, or was found dead."""
        with self.database.write() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.name == name))

    def names(self) -> set[str]:
        """All that signed on and not off, dead ones too."""
        with self.database.read() as connection:
            return set(connection.execute(select(WORKERS.c.name)).scalars())

    def count(self) -> int:
        """Workers that were seen lately."""
        limit = self.database.now - SILENT_S
        with self.database.read() as connection:
            query = select(func.count()).select_from(WORKERS).where(WORKERS.c.seen > limit)
            return int(connection.execute(query).scalar_one())
