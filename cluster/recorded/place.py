"""Where a feedback service keeps what it knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from cluster.runs.folder import RunFolder
from cluster.runs.loading import load_run
from hitl.errors import ConfigError
from hitl.service.options import secret_path
from hitl.storage.blobs import Blobs
from hitl.storage.engine import open_engines, sqlite_url
from hitl.storage.storage import Storage, blobs_path, database_path


@dataclass(frozen=True, slots=True)
class ServicePlace:
    """The files of one service; it may be running."""

    folder: Path
    database: str | None
    """An SQLAlchemy URL; None for SQLite in the folder."""
    secret: Path
    """The file that signs its tokens."""

    @classmethod
    def of_service(cls, folder: Path, *, database: str | None = None) -> "ServicePlace":
        """Return the place of a `handrail serve`."""
        return cls(folder, database, secret_path(folder))

    @classmethod
    def of_run(cls, folder: RunFolder) -> "ServicePlace":
        """Return the place of a run's own service.

        Raises:
            ConfigError: the run is taught through a service elsewhere.
        """
        config = load_run(folder.run_file).feedback
        if config.address:
            raise ConfigError(
                f"run {folder.run_id} is taught through the service at {config.address}; "
                "name the folder of its `handrail serve` with --folder"
            )
        return cls(folder.feedback, config.database, folder.secret_file)

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Blobs]]:
        """Open it as it stands now, to read.

        Raises:
            ConfigError: there is nothing.
            StorageError: it cannot be read.
        """
        if self.database is None and not database_path(self.folder).is_file():
            raise ConfigError(
                f"{self.folder} holds no feedback: there is no {database_path(self.folder).name}"
            )
        writer, reader = open_engines(self.database or sqlite_url(database_path(self.folder)))
        try:
            with reader.connect() as connection:
                yield connection, Blobs(blobs_path(self.folder))
        finally:
            writer.dispose()
            reader.dispose()

    @contextmanager
    def writing(self) -> Iterator[Storage]:
        """Open it to write, making what is missing.

        Raises:
            StorageError: it cannot be written.
        """
        storage = Storage(self.folder, database=self.database)
        try:
            yield storage
        finally:
            storage.close()
