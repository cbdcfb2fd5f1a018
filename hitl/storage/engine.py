"""Opening the database: the one file that knows SQLite from PostgreSQL."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from hitl.errors import StorageError
from hitl.storage.schema import metadata, questions

_BUSY_MILLISECONDS = 10_000


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite database in a file."""
    return f"sqlite:///{path.resolve()}"


def open_engines(url: str) -> tuple[Engine, Engine]:
    """Open the database, make the tables and columns that are missing, and return an engine to write and one to read.

    Raises:
        StorageError: it cannot be opened or is no database of ours.
    """
    try:
        kind = make_url(url).get_backend_name()
        if kind != "sqlite":
            engine = create_engine(url, pool_pre_ping=True)
            writer, reader = engine, engine
        else:
            writer, reader = _sqlite_engine(url, writes=True), _sqlite_engine(url, writes=False)
        metadata.create_all(writer)
        _add_lots(writer)
    except (DBAPIError, ArgumentError, NoSuchModuleError, ImportError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise StorageError(
            f"the database {_shown(url)} cannot be used ({reason}); choose a folder that can be written "
            "and holds nothing else of this name, or another database URL"
        ) from None
    return writer, reader


def _add_lots(engine: Engine) -> None:
    """Add the one column that is younger than its table, to a database that is older."""
    column, known = questions.c.lot, inspect(engine).get_columns(questions.name)
    if column.name in {one["name"] for one in known}:
        return
    # Two services may open one PostgreSQL database at the same time; SQLite knows no such words, and has one.
    once = "" if engine.dialect.name == "sqlite" else "IF NOT EXISTS "
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER TABLE {questions.name} ADD COLUMN {once}{column.name} INTEGER NOT NULL DEFAULT 0"
        )


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "URL"


def _sqlite_engine(url: str, *, writes: bool) -> Engine:
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
