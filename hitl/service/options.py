"""What the service is started with."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """Options of one feedback service."""

    folder: Path
    """Holds feedback.db, blobs/ and secret, unless the options below say otherwise."""
    host: str = "127.0.0.1"
    """Where it listens."""
    port: int = 0
    """0 takes a free one; the ready file tells which."""
    database: str | None = None
    """An SQLAlchemy URL; None for SQLite in the folder."""
    secret: Path | None = None
    """The file whose content signs tokens; None for `secret` in the folder. Made if missing."""
    metrics_host: str = "127.0.0.1"
    """Where /metrics is served."""
    metrics_port: int = 0
    """Its port; 0 takes a free one."""
    ready_file: Path | None = None
    """Gets a JSON object with address, metrics_address and pid once calls are served."""
    drain_seconds: float = 10.0
    """How long calls in flight may take after SIGTERM."""

    @property
    def secret_path(self) -> Path:
        """The secret file to use."""
        return self.secret or secret_path(self.folder)


def secret_path(folder: Path) -> Path:
    """Return where the secret of a service's folder lies."""
    return folder / "secret"
