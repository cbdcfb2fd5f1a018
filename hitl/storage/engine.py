"""Opening the database: the one file that knows SQLite from PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    InvalidRequestError,
    NoSuchModuleError,
    OperationalError,
)

from hitl.errors import StorageError
from hitl.storage.schema import metadata, questions

BROKEN: Final = (OperationalError, InterfaceError, InternalError)
"""The disk, the server or the connection, and not what was asked of it."""

_BUSY_MILLISECONDS = 10_000

_DRIVER: Final = "postgresql+psycopg"
_DRIVERLESS: Final = ("postgresql", "postgres")
_MISSING_DRIVER: Final = "there is no driver for PostgreSQL; run: pip install 'handrail[postgresql]'"

# Of libpq; what the URL says comes first. Without an encoding some servers send bytes for text, and without the
# rest a server whose machine is gone is waited for by the hour.
_CONNECTION: Final = {
    "application_name": "handrail",
    "client_encoding": "utf8",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# Any number, as long as all that write have the same.
_WRITERS_LOCK: Final = 0x68616E6472
# A writer whose machine is gone would keep the lock for as long as the server believes in its connection.
_SILENT_WRITER_MILLISECONDS = 60_000


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite database in a file."""
    return f"sqlite:///{path.resolve()}"


def open_engines(url: str) -> tuple[Engine, Engine]:
    """Open the database, make the tables and columns that are missing, and return an engine to write and one to read.

    Those who write take turns, also from several processes: a transaction of the first engine sees all that others
    have committed, and nobody else commits before it has ended. One of the second sees one state of the database.

    Raises:
        StorageError: it cannot be opened or is no database of ours.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in _DRIVERLESS:
            parsed = parsed.set(drivername=_DRIVER)
        match parsed.get_backend_name():
            case "sqlite":
                writer, reader = _sqlite_engine(parsed, writes=True), _sqlite_engine(parsed, writes=False)
            case "postgresql":
                writer, reader = _postgresql_engines(parsed)
            case other:
                raise ArgumentError(f"{other} is neither sqlite nor postgresql")
        # In one transaction, so that of two services that open an empty database one makes the tables.
        with writer.begin() as connection:
            _check_encoding(connection)
            metadata.create_all(connection)
            _add_lots(connection)
    except (DBAPIError, ArgumentError, InvalidRequestError, NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"the database {_shown(url)} cannot be used ({reason_of(error)}); choose a folder that can be written "
            "and holds nothing else of this name, or another database URL"
        ) from None
    return writer, reader


def reason_of(error: Exception) -> str:
    """Return what a database said, without the statement: that may be long, and full of what people said."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    return f"{reason.__class__.__name__}: {reason}"


@contextmanager
def told_if_broken() -> Iterator[None]:
    """Raise a StorageError where the database cannot be read."""
    try:
        yield
    except BROKEN as error:
        raise StorageError(f"the database cannot be read ({reason_of(error)})") from error


def _check_encoding(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise ArgumentError(f"its encoding is {encoding}; create it with ENCODING 'UTF8'")


def _add_lots(connection: Connection) -> None:
    """Add the one column that is younger than its table, to a database that is older."""
    column, known = questions.c.lot, inspect(connection).get_columns(questions.name)
    if column.name not in {one["name"] for one in known}:
        connection.exec_driver_sql(
            f"ALTER TABLE {questions.name} ADD COLUMN {column.name} INTEGER NOT NULL DEFAULT 0"
        )


def _shown(url: str) -> str:
    try:
        return make_url(url).difference_update_query(["password"]).render_as_string(hide_password=True)
    except ArgumentError:
        return "URL"


def _sqlite_engine(url: URL, *, writes: bool) -> Engine:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own transactions start too late for a lock and end at the wrong time for savepoints.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not writes:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engines(url: URL) -> tuple[Engine, Engine]:
    """Return an engine to write and one to read, each with connections of its own.

    Raises:
        ImportError: its driver is not installed.
    """
    url = url.update_query_dict({key: value for key, value in _CONNECTION.items() if key not in url.query})
    try:
        # Each statement sees what was committed before it: what is read under the lock is the newest.
        writer = create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")
        reader = create_engine(url, pool_pre_ping=True, isolation_level="REPEATABLE READ")
    except ImportError:
        raise ImportError(_MISSING_DRIVER) from None

    @event.listens_for(writer, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {_SILENT_WRITER_MILLISECONDS}")
        # Where a server is told not to wait for its disk, what it has acknowledged can be lost.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.commit()

    @event.listens_for(writer, "begin")
    def _take_turns(connection: Connection) -> None:
        # What BEGIN IMMEDIATE is to SQLite. Locks of rows alone would let two services, each with many
        # operations in a transaction, wait for each other.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

    return writer, reader.execution_options(postgresql_readonly=True)
