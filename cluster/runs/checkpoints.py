"""Whole checkpoints: a folder appears in one step when everything in it is on disk, or not at all."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hitl.errors import StorageError

_NAME = re.compile(r"\d{12}")
_DRAFT = ".draft"


def write(folder: Path, *, number: int, save: Callable[[Path], object], keep: int) -> Path:
    """Make a checkpoint and drop the oldest ones.

    Args:
        folder: of all checkpoints.
        number: orders them; environment steps.
        save: fills the folder that it is given.
        keep: how many of the newest stay.

    Raises:
        StorageError: it cannot be written; the ones before are untouched.
    """
    draft, final = folder / _DRAFT, folder / f"{number:012d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        save(draft)
        for path in [*draft.rglob("*"), draft]:
            _sync(path)
        if final.exists():
            shutil.rmtree(final)
        draft.rename(final)
        _sync(folder)
        for old in whole(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"no checkpoint can be written in {folder} ({error.strerror})") from error
    return final


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint; None where there is none."""
    found = whole(folder)
    return found[-1] if found else None


def whole(folder: Path) -> list[Path]:
    """Return all whole checkpoints, the newest last."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
