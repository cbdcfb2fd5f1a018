"""The folder of a run: the one place that knows the names of the files in it."""

import difflib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hitl.errors import ConfigError, StorageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_RUNS_IN_A_SECOND = 1000


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk; everything about it lies under `path`, whose last part is the run's id."""

    path: Path

    @classmethod
    def create(cls, runs_folder: Path, name: str, now: datetime) -> "RunFolder":
        """Make the folder of a new run; two that start in the same second get different ones.

        Raises:
            ConfigError: the name cannot be part of a file name.
            StorageError: the folder cannot be made.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"name is {name!r}, but must start with a letter or digit and have at most 100 "
                "letters, digits, '.', '_' and '-': it goes into the run's id and its folder's name"
            )
        stem = f"{name}-{now:%Y%m%d-%H%M%S}"
        try:
            runs_folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, _MOST_RUNS_IN_A_SECOND):
                folder = cls((runs_folder / (stem if number == 1 else f"{stem}-{number}")).absolute())
                try:
                    folder.path.mkdir()
                except FileExistsError:
                    continue
                for part in (folder.checkpoints, folder.feedback, folder.pictures, folder.logs):
                    part.mkdir()
                return folder
        except OSError as error:
            raise StorageError(
                f"no run folder can be made in {runs_folder} ({error.strerror}); "
                "choose another place with --runs_folder"
            ) from None
        raise StorageError(f"{runs_folder} is full of runs named {stem}; choose another name")

    @classmethod
    def list(cls, runs_folder: Path) -> "list[RunFolder]":
        """Return the runs in a folder, the newest last; none where there is no such folder."""
        try:
            paths = [path for path in runs_folder.iterdir() if (path / "run.yaml").is_file()]
            folders = [cls(path.absolute()) for path in paths]
            return sorted(folders, key=lambda folder: (folder.run_file.stat().st_mtime, folder.run_id))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{runs_folder} cannot be read ({error.strerror})") from None

    @classmethod
    def find(cls, runs_folder: Path, run: str) -> "RunFolder":
        """Return a run by its id in `runs_folder`, or by the path of its folder.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        for path in (runs_folder / run, Path(run)):
            if run and (path / "run.yaml").is_file():
                return cls(path.absolute())
        known = [folder.run_id for folder in cls.list(runs_folder)]
        near = difflib.get_close_matches(run, known, n=1, cutoff=0.4)
        if near:
            hint = f"did you mean {near[0]}?"
        elif known:
            hint = f"the newest one there is {known[-1]}; `handrail runs` lists them all"
        else:
            hint = (
                "there are none; start one with `handrail train FILE`, or look elsewhere with --runs-folder"
            )
        raise ConfigError(f"there is no run {run!r} in {runs_folder}: {hint}")

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def handle(self) -> str:
        """What to call the run on a command line in this working directory."""
        if self.path.parent == Path("runs").absolute():
            return self.run_id
        return os.path.relpath(self.path) if self.path.is_relative_to(Path.cwd()) else str(self.path)

    @property
    def run_file(self) -> Path:
        """The resolved run file, with everything that it leaves out filled in."""
        return self.path / "run.yaml"

    @property
    def secret_file(self) -> Path:
        """What signs this run's tokens; readable by its owner only."""
        return self.path / "secret"

    @property
    def lock_file(self) -> Path:
        """Held by the `handrail train` that trains this run, so that there is only one."""
        return self.path / "lock"

    @property
    def lives_file(self) -> Path:
        """When the run was worked on; see `cluster.runs.lives`."""
        return self.path / "lives.json"

    @property
    def service_file(self) -> Path:
        """Where the run's own feedback service listens; it appears when the service is ready."""
        return self.path / "service.json"

    @property
    def driver_file(self) -> Path:
        """Where the driver serves its metrics; it appears when the driver is ready."""
        return self.path / "driver.json"

    @property
    def reads_from_file(self) -> Path:
        """Where the feedback of other runs ends for this one, by their ids; only in lockstep."""
        return self.path / "reads_from.json"

    @property
    def thaw_file(self) -> Path:
        """A person's word that an alarm is over; the driver takes it away."""
        return self.path / "thaw"

    @property
    def status_file(self) -> Path:
        """The newest row of progress."""
        return self.path / "status.json"

    @property
    def progress_file(self) -> Path:
        """Every row of progress, one JSON object a line."""
        return self.path / "progress.jsonl"

    @property
    def summary_file(self) -> Path:
        """The run in a few numbers; it appears when the run is done."""
        return self.path / "summary.json"

    @property
    def report_file(self) -> Path:
        """The run as one page for people."""
        return self.path / "report.html"

    @property
    def pictures(self) -> Path:
        """The report's pictures as PNG."""
        return self.path / "pictures"

    @property
    def checkpoints(self) -> Path:
        """Whole checkpoints."""
        return self.path / "checkpoints"

    @property
    def exports(self) -> Path:
        """Policies that run without Handrail; it appears with the first one."""
        return self.path / "exports"

    @property
    def feedback(self) -> Path:
        """What the run's own feedback service keeps: journal and segments."""
        return self.path / "feedback"

    @property
    def tensorboard(self) -> Path:
        """Event files for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def logs(self) -> Path:
        """What the processes said, one file each."""
        return self.path / "logs"

    def log(self, process: str) -> Path:
        """Return where the process of this name (service, driver, teacher-0, ...) says what it does."""
        return self.logs / f"{process}.log"


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file's content in one step, durably: a reader sees the old text or the new, never half.

    Raises:
        StorageError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written ({error.strerror})") from None


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Replace a JSON file in one step, durably.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file of ours holds; None where there is no file.

    Raises:
        StorageError: it cannot be read, or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise StorageError(f"{path} is damaged: it is not a JSON object")
    return content
