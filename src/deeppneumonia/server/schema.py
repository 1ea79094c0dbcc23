"""The tables, and the steps that bring an older database up to date.

Times are seconds since 1970, by the database's clock.
"""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
    update,
)

from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.server.database import Database

METADATA = MetaData()

VERSION = Table("schema_version", METADATA, Column("version", Integer, nullable=False))

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(32), primary_key=True),  # random; also the name of the upload's folder
    Column("owner", String(64), nullable=False),
    Column("source", String(16), nullable=False),  # page, rest, stow or dicom
    Column("label", String(200), nullable=False),  # what the sender called it; never logged
    Column("content", String(80), nullable=False),  # sha256 of the upload, or of the study's UID
    Column("bytes", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("submitted", Double, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("fence", Integer, nullable=False),  # grows with every claim; an older one is void
    Column("worker", String(120)),
    Column("lease_until", Double),
    Column("started", Double),
    Column("finished", Double),
    Column("failures", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("reason", Text),
    Column("status", String(16)),  # of the answer: diagnosed, indeterminate or refused
    Column("diagnosis", String(64)),
    Column("result", String(16)),  # folder of the answer below results/ID
    UniqueConstraint("owner", "content", name="one_job_per_upload"),
    Index("jobs_by_turn", "state", "submitted", "id"),
    Index("jobs_by_owner", "owner", "submitted"),
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("name", String(120), primary_key=True),
    Column("started", Double, nullable=False),
    Column("seen", Double, nullable=False),
)

USERS = Table(
    "users",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("password", String(256), nullable=False),  # scrypt; empty for those from outside
    Column("roles", String(64), nullable=False),
    Column("created", Double, nullable=False),
)

SECRETS = Table(  # session cookies and API tokens, by their sha256
    "secrets",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),  # session or token
    Column("owner", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("label", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object", String(64), nullable=False),
    Column("detail", String(200), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("job", String(32), nullable=False, index=True),
    Column("reader", String(64), nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("label", String(64)),  # what the reader says it is
    Column("comment", Text, nullable=False),
    Column("created", Double, nullable=False),
)

IDENTITIES = Table(  # whom an OpenID Connect provider vouches for
    "identities",
    METADATA,
    Column("subject", String(64), primary_key=True),  # sha256 of issuer and sub
    Column("owner", String(64), nullable=False, index=True),
)


class SchemaError(DeepPneumoniaError):
    """The database was made by a newer version of this software."""


def _first(connection: Connection) -> None:
    for table in (JOBS, WORKERS, USERS, SECRETS, AUDIT):
        table.create(connection)
    _make_append_only(connection)


def _feedback(connection: Connection) -> None:
    FEEDBACK.create(connection)


def _identities(connection: Connection) -> None:
    IDENTITIES.create(connection)


def _one_answer(connection: Connection) -> None:
    """What earlier versions left: an answer from before more images came, words on what is gone."""
    connection.execute(
        text("UPDATE jobs SET status = NULL, diagnosis = NULL, result = NULL WHERE state <> 'done'")
    )
    connection.execute(text("DELETE FROM feedback WHERE job NOT IN (SELECT id FROM jobs)"))
    if connection.dialect.name == "sqlite":
        # INSERT OR REPLACE deletes the older row without asking the trigger against DELETE.
        # In PostgreSQL, ON CONFLICT DO UPDATE asks the one against UPDATE.
        connection.execute(
            text(
                "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
                "WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number) "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        )


STEPS: tuple[Callable[[Connection], None], ...] = (_first, _feedback, _identities, _one_answer)
"""Step n brings version n to n + 1. A step that was once released never changes."""


def migrate(database: Database) -> int:
    """Bring the database to this version, whole or not at all; returns the version.

    Raises:
        SchemaError: the database is newer than this software.
    """
    with database.write() as connection:
        if not database.is_sqlite:  # several hosts may start at once
            connection.execute(text("SELECT pg_advisory_xact_lock(5021)"))
        if not inspect(connection).has_table(VERSION.name):
            VERSION.create(connection)
            connection.execute(insert(VERSION).values(version=0))
        version = connection.execute(select(VERSION.c.version)).scalar_one()
        if version > len(STEPS):
            raise SchemaError(
                f"The database has version {version}, this software knows {len(STEPS)}: "
                "install the newer version again, or restore the back-up made before it."
            )
        for step in STEPS[version:]:
            step(connection)
        connection.execute(update(VERSION).values(version=len(STEPS)))
    return len(STEPS)


def _make_append_only(connection: Connection) -> None:
    """Let the database itself refuse a change of the audit log."""
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.execute(
                text(
                    f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
                )
            )
        return
    connection.execute(
        text(
            "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
    )
    connection.execute(
        text(
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
        )
    )
