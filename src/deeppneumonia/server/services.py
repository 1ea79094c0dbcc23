"""Everything that app, worker and DICOM node stand on: opened once for a process."""

import time
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.accounts import Accounts
from deeppneumonia.server.audit import AuditLog
from deeppneumonia.server.database import Database, DatabaseAwayError, reason_of
from deeppneumonia.server.jobs import JobStore, Patience
from deeppneumonia.server.rate_limit import RateLimit
from deeppneumonia.server.roster import Roster
from deeppneumonia.server.schema import migrate
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import Storage

DATABASE_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Services:
    """The store of jobs, the disk, the users and the log, all of one data folder."""

    settings: Settings
    database: Database
    jobs: JobStore
    roster: Roster
    storage: Storage
    accounts: Accounts
    audit: AuditLog
    logins: RateLimit

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Open, and bring the database up to date; used by app, worker and DICOM node alike."""
        storage = Storage(settings.folder, min_free_bytes=settings.min_free_bytes)
        database = Database(settings.database_url)
        migrate(database)
        patience = Patience(
            lease_s=settings.lease_s,
            max_failures=settings.max_failures,
            max_crashes=settings.max_crashes,
            backoff_s=settings.backoff_s,
        )
        return cls(
            settings=settings,
            database=database,
            jobs=JobStore(database, patience),
            roster=Roster(database),
            storage=storage,
            accounts=Accounts(database),
            audit=AuditLog(database),
            logins=RateLimit(10),
        )


def open_services(settings: Settings, *, wait_s: float = DATABASE_WAIT_S) -> Services:
    """The services, once the database answers, which may start at the same time as we do.

    Raises:
        ConfigError: it has not answered for `wait_s`, or cannot be used: a wrong password, a
            damaged file.
    """
    ends = time.monotonic() + wait_s
    while True:
        try:
            return Services.open(settings)
        except DatabaseAwayError as error:
            if time.monotonic() >= ends:
                raise ConfigError(
                    f"The database does not answer ({reason_of(error)}): start it, or check its "
                    "URL in DEEPPNEUMONIA_DATABASE or the settings, and for SQLite the rights and "
                    "the free space of its folder."
                ) from error
            time.sleep(0.5)
        except DBAPIError as error:
            raise ConfigError(
                f"The database cannot be used ({reason_of(error)}): check user, password and name "
                "in its URL; where SQLite's file is damaged, put a back-up in its place."
            ) from error
