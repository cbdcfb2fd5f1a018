"""The lives of a run: from when to when a `handrail train` worked on it, and that only one does at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from cluster.runs.folder import RunFolder, read_json, write_json
from cluster.runs.progress import read_progress
from hitl.errors import ConfigError, StorageError


@contextlib.contextmanager
def only_trainer(folder: RunFolder) -> Iterator[None]:
    """Be the only `handrail train` of a run; the operating system lets go when the process dies.

    Raises:
        ConfigError: another one trains it.
    """
    with _open_lock(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"run {folder.run_id} is being trained by process {_holder(folder)}; "
                "wait for its end, or stop it with Ctrl-C"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield


def is_trained_now(folder: RunFolder) -> bool:
    """Whether a `handrail train` is at work on the run."""
    try:
        with folder.lock_file.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def begin_life(folder: RunFolder, time_seconds: float) -> None:
    """Note that work on the run began; a life before it that nobody ended ends with its last row."""
    lives = _lives(folder)
    if lives and lives[-1]["ended"] is None:
        rows = read_progress(folder)
        last = rows[-1].time if rows else lives[-1]["started"]
        lives[-1]["ended"] = max(last, lives[-1]["started"])
    write_json(folder.lives_file, {"lives": [*lives, {"started": time_seconds, "ended": None}]})


def end_life(folder: RunFolder, time_seconds: float) -> None:
    """Note that work on the run ended for now."""
    lives = _lives(folder)
    lives[-1]["ended"] = time_seconds
    write_json(folder.lives_file, {"lives": lives})


def wall_seconds(folder: RunFolder, now_seconds: float) -> float:
    """Return how long the run was worked on, over all its lives; one that goes on counts up to now."""
    return float(sum((life["ended"] or now_seconds) - life["started"] for life in _lives(folder)))


def start_time(folder: RunFolder) -> float | None:
    """Return when the run was first started, in seconds since 1970."""
    lives = _lives(folder)
    return float(lives[0]["started"]) if lives else None


def _lives(folder: RunFolder) -> list[dict[str, Any]]:
    content = read_json(folder.lives_file) or {}
    return list(content.get("lives", []))


@contextlib.contextmanager
def _open_lock(folder: RunFolder) -> Iterator[int]:
    try:
        descriptor = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"{folder.lock_file} cannot be written ({error.strerror})") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _holder(folder: RunFolder) -> str:
    try:
        return folder.lock_file.read_text() or "unknown"
    except OSError:
        return "unknown"
