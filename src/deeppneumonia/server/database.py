"""One database, SQLite or PostgreSQL: short transactions, its own clock, and "not now" by name."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    create_engine,
    event,
    literal_column,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from deeppneumonia.errors import ConfigError, DeepPneumoniaError

T = TypeVar("T")
BUSY_S = 10
CONNECTIONS = 40
"""As many as there are threads that answer requests: one more would be opened anew each time."""

AGAIN_S = 1.0

CLOCK = "wall_clock"
"""This machine's clock, in SQLite: its own counts milliseconds, and two jobs may come in one."""


class DatabaseAwayError(DeepPneumoniaError):
    """The database does not answer now; the same request may succeed in a few seconds."""


class Database:
    """An engine with two kinds of transaction. Nothing of it outlives a `with` block."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        try:
            self.engine = _sqlite(url) if self.is_sqlite else _postgresql(url)
        except (ArgumentError, ValueError) as error:  # its text may quote the password
            raise ConfigError(
                f"The database URL cannot be understood ({type(error).__name__}): give sqlite:///"
                "FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME, other characters than letters "
                "and digits as %XX in the password."
            ) from None
        self._writing = self.engine.execution_options(begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it waits for nobody."""
        with _named(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is on the disk when the block ends without an error."""
        with _named(), self._writing.begin() as connection:
            yield connection

    @property
    def now(self) -> ColumnElement[float]:
        """Seconds since 1970 by the database's own clock, which all hosts share."""
        text = (
            f"{CLOCK}()"
            if self.is_sqlite
            else "CAST(extract(epoch from clock_timestamp()) AS double precision)"
        )
        return literal_column(text, Double)

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def patiently(action: Callable[[], T]) -> T:
    """Repeat an action until the database is there again; for workers, who have the time."""
    while True:
        try:
            return action()
        except DatabaseAwayError:
            time.sleep(AGAIN_S)


def reason_of(error: BaseException) -> str:
    """What a database itself said of why it does not answer or will not have us."""
    said = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
    first = said.args[0] if said.args else None
    if isinstance(first, dict):  # PostgreSQL's; M is its message
        first = first.get("M")
    return str(first or type(said).__name__).rstrip(".")


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise DatabaseAwayError("The database does not answer now.") from error
    except DBAPIError as error:
        if error.connection_invalidated or _is_shutdown(error):
            raise DatabaseAwayError("The database does not answer now.") from error
        raise
    except OSError as error:  # a socket that breaks before the driver can give it its own name
        if isinstance(error, ConnectionError | TimeoutError):
            raise DatabaseAwayError("The database does not answer now.") from error
        raise


def _is_shutdown(error: DBAPIError) -> bool:
    """PostgreSQL's own words for going down or starting up: error classes 57P and 08."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    code = str(first.get("C", "")) if isinstance(first, dict) else ""
    return code.startswith(("57P", "08", "53"))


def _sqlite(url: str) -> Engine:
    file = make_url(url).database
    if not file:
        raise ArgumentError("no file")
    Path(file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Of its owner alone, whoever made the folder: it holds labels and hashes of passwords.
    Path(file).touch(mode=0o600)
    engine = create_engine(
        url, hide_parameters=True, pool_size=CONNECTIONS, connect_args={"timeout": BUSY_S}
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.create_function(CLOCK, 0, time.time)
        connection.isolation_level = None  # the driver would begin late and commit by itself
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_S * 1000}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _postgresql(url: str) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,  # an error would have a patient's name in the log
        pool_pre_ping=True,
        pool_size=20,
        max_overflow=5,
        pool_timeout=5,
        connect_args={"timeout": BUSY_S},
    )

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _without_nul(
        _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        return statement, _texts_without_nul(parameters)

    return engine


def _texts_without_nul(value: Any) -> Any:
    """Parameters of a statement, of one or of many rows: PostgreSQL's texts cannot hold a NUL."""
    if isinstance(value, str):
        return value.replace("\0", "")
    return type(value)(map(_texts_without_nul, value)) if isinstance(value, list | tuple) else value
