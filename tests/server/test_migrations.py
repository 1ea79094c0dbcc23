"""A database that the previous version of this software wrote is brought up to date, and works.

`databases/version_N.sql` is what a server of version N wrote, as SQLite dumps it.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from deeppneumonia.server.accounts import Accounts
from deeppneumonia.server.audit import AuditLog
from deeppneumonia.server.database import Database
from deeppneumonia.server.feedback import FeedbackStore
from deeppneumonia.server.jobs import JobStore
from deeppneumonia.server.schema import METADATA, STEPS, migrate
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worklist import State

DATABASES = Path(__file__).parent / "databases"
OLD = sorted(DATABASES.glob("version_*.sql"), key=lambda file: int(file.stem.split("_")[1]))
FIRST = f"{1:032x}"


def test_there_is_a_database_of_the_previous_version() -> None:
    assert OLD[-1].stem == f"version_{len(STEPS) - 1}"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """What the previous version left."""
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "old.db") as connection:
            connection.executescript(OLD[-1].read_text())
        database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        database = Database(Settings(database=request.getfixturevalue("postgres")).database_url)
        _fill(database)
    yield database
    database.dispose()


def _fill(database: Database) -> None:
    """The same rows in PostgreSQL, in tables as the previous version's steps make them."""
    with database.write() as connection:
        METADATA.tables["schema_version"].create(connection)
        for step in STEPS[:-1]:
            step(connection)
    source = sqlite3.connect(":memory:")
    source.executescript(OLD[-1].read_text())
    source.row_factory = sqlite3.Row
    with database.write() as connection:
        for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            table = METADATA.tables[name]
            for row in source.execute(f"SELECT * FROM {name}"):
                values = dict(row)
                if name == "feedback":
                    values["agrees"] = bool(values["agrees"])
                connection.execute(table.insert().values(values))
    source.close()


def test_the_previous_version_is_brought_up_to_date_and_works(old: Database) -> None:
    assert migrate(old) == len(STEPS)
    assert migrate(old) == len(STEPS)  # again changes nothing
    with old.read() as connection:
        assert set(METADATA.tables) <= set(inspect(connection).get_table_names())

    jobs = JobStore(old)
    found = {job.label: job.state for job in jobs.list()[0]}
    assert found == {"study 1": State.DONE, "study 2": State.QUEUED, "study 3": State.DEAD}
    claim = jobs.claim("new")
    assert claim is not None and jobs.finish(claim, status="refused", diagnosis=None, result="1")

    accounts = Accounts(old)
    assert accounts.check_password("anna", "correct horse battery")
    assert accounts.vouched("0" * 64, "bert", "viewer") == "bert"

    log = AuditLog(old)
    log.write("bert", "login", "bert")
    assert [entry.action for entry in log.entries()] == ["submit", "read", "login"]
    assert log.first_break() is None
    assert [one.comment for one in FeedbackStore(old).of_study(FIRST)] == ["clear"]


def test_an_answer_from_before_more_images_came_is_withdrawn(old: Database) -> None:
    migrate(old)
    grown = JobStore(old).get(f"{3:032x}")
    assert grown is not None and grown.state is State.DEAD
    assert (grown.status, grown.diagnosis, grown.result) == (None, None, None)


def test_words_on_a_study_that_was_deleted_are_deleted(old: Database) -> None:
    migrate(old)
    with old.read() as connection:
        assert connection.execute(text("SELECT comment FROM feedback")).scalars().all() == ["clear"]


def test_an_entry_of_an_old_log_cannot_be_replaced(old: Database) -> None:
    migrate(old)
    replacing = (
        "INSERT OR REPLACE INTO audit SELECT number, at, 'bert', action, object, detail, previous, "
        "digest FROM audit WHERE number = 1"
        if old.is_sqlite
        else "INSERT INTO audit SELECT * FROM audit WHERE number = 1 "
        "ON CONFLICT (number) DO UPDATE SET actor = 'bert'"
    )
    with pytest.raises(DBAPIError, match="append-only"), old.write() as connection:
        connection.execute(text(replacing))
    assert AuditLog(old).first_break() is None


def test_half_an_upgrade_is_none(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_connection: object) -> None:
        raise RuntimeError("the power went")

    monkeypatch.setattr("deeppneumonia.server.schema.STEPS", (*STEPS, breaks))
    with pytest.raises(RuntimeError, match="the power went"):
        migrate(old)
    with old.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM feedback")).scalar_one() == 2
        version = connection.execute(text("SELECT version FROM schema_version")).scalar_one()
    assert version == len(STEPS) - 1
