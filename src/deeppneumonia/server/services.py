"""Everything that app, worker and DICOM node stand on: opened once for a process."""

from dataclasses import dataclass

from deeppneumonia.server.accounts import Accounts
from deeppneumonia.server.audit import AuditLog
from deeppneumonia.server.database import Database
from deeppneumonia.server.jobs import JobStore, Patience
from deeppneumonia.server.rate_limit import RateLimit
from deeppneumonia.server.roster import Roster
from deeppneumonia.server.schema import migrate
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import Storage


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
