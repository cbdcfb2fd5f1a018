"""The opened store: one writer that commits in groups, readers beside it, blobs next to both."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from hitl.errors import StorageError
from hitl.storage.blobs import Blobs
from hitl.storage.engine import open_engines, sqlite_url, told_if_broken
from hitl.storage.writer import Writer

_READERS = 4

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def database_path(folder: Path) -> Path:
    """Return where the embedded database of a folder lies."""
    return folder / "feedback.db"


def blobs_path(folder: Path) -> str:
    """Return where the blobs of a folder lie."""
    return str(folder.resolve() / "blobs")


class Storage:
    """Runs functions of a connection; those of the other files in this folder are meant."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        on_commit: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Open the store, making what is missing.

        Args:
            folder: holds the blobs, and the database unless `database` says otherwise.
            database: an SQLAlchemy URL; None for SQLite in the folder.
            on_commit: told how long each transaction took, in seconds, from the writer's thread.

        Raises:
            StorageError: folder or database cannot be used.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the folder {folder} cannot be made ({error.strerror}); choose one that can be written"
            ) from None
        self.blobs = Blobs(blobs_path(folder))
        self._write_engine, self._read_engine = open_engines(database or sqlite_url(database_path(folder)))
        self._writer = Writer(self._write_engine, on_commit)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="storage-reader")

    def write(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> "Future[R]":
        """Queue `operation(connection, ...)`; the future has its result, or error, once it is durable.

        Raises:
            Busy: too many operations wait already.
            Unavailable: the store is closed.
        """
        return self._writer.submit(lambda connection, _: [operation(connection, *args, **kwargs)])

    def write_together(
        self, operation: Callable[[Connection, Sequence[T]], Sequence[R]], item: T
    ) -> "Future[R]":
        """Queue an item for an operation that takes many at once; else as `write`."""
        return self._writer.submit(operation, item)

    def read(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> "Future[R]":
        """Run `operation(connection, ...)` on a connection that only reads, in another thread.

        The future has a StorageError where the database is broken or away.
        """

        def reading() -> R:
            with told_if_broken(), self._read_engine.connect() as connection:
                return operation(connection, *args, **kwargs)

        return self._readers.submit(reading)

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Run a function that needs no connection, such as compressing, in the readers' threads."""
        return self._readers.submit(function, *args, **kwargs)

    def close(self) -> None:
        """Finish what is queued, then close the database."""
        self._writer.close()
        self._readers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()
