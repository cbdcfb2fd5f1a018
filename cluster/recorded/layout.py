"""The tables of recorded feedback, and the header beside them; docs/feedback.md says the same for people.

Only what is marked so is needed. Whatever else is left out, as a column or in a row, has the default that is given.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitl.errors import ConfigError
from hitl.events import Task

VERSION = 1
"""Of the layout. One that is read must not be newer."""

HEADER = "recorded.json"
EVENTS = "events.parquet"
SEGMENTS = "segments.parquet"
QUESTIONS = "questions.parquet"
TRUE_REWARDS = "true_rewards.parquet"
CLIPS = "clips.parquet"

TENSOR = pa.struct([("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.binary())])
"""An array in C order, little endian. Where one is read, nested lists of numbers do as well."""

_TIME = pa.timestamp("us", tz="UTC")
_IDS = pa.list_(pa.string())

SCHEMAS: Mapping[str, pa.Schema] = {
    EVENTS: pa.schema(
        [
            ("run_id", pa.string()),
            ("offset", pa.int64()),
            ("event_id", pa.string()),
            ("teacher_id", pa.string()),
            ("record_time", _TIME),
            ("kind", pa.string()),
            ("segment_ids", _IDS),
            ("question_id", pa.string()),
            ("choice", pa.string()),
            ("retracted_event_id", pa.string()),
            ("value", pa.float64()),
            ("details", pa.string()),
            ("message", pa.binary()),
        ]
    ),
    SEGMENTS: pa.schema(
        [
            ("run_id", pa.string()),
            ("segment_id", pa.string()),
            ("source", pa.string()),
            ("episode", pa.int64()),
            ("agent", pa.int64()),
            ("begin", pa.int64()),
            ("end", pa.int64()),
            ("policy_version", pa.int64()),
            ("stage_id", pa.string()),
            ("observations", TENSOR),
            ("actions", TENSOR),
            ("message", pa.binary()),
        ]
    ),
    QUESTIONS: pa.schema(
        [
            ("run_id", pa.string()),
            ("question_id", pa.string()),
            ("state", pa.string()),
            ("segment_ids", _IDS),
            ("value", pa.float64()),
            ("policy_version", pa.int64()),
            ("message", pa.binary()),
        ]
    ),
    TRUE_REWARDS: pa.schema([("run_id", pa.string()), ("segment_id", pa.string()), ("true_rewards", TENSOR)]),
    CLIPS: pa.schema(
        [
            ("run_id", pa.string()),
            ("segment_id", pa.string()),
            ("media_type", pa.string()),
            ("data", pa.binary()),
        ]
    ),
}

_FORMAT = "handrail feedback"
_FORMAT_KEY, _VERSION_KEY = b"handrail.format", b"handrail.version"


def schema_of(table: str) -> pa.Schema:
    """Return the schema that a table is written with: its metadata say what it is."""
    metadata = {_FORMAT_KEY: _FORMAT.encode(), _VERSION_KEY: str(VERSION).encode()}
    return SCHEMAS[table].with_metadata(metadata)


def check_version(path: Path, metadata: Mapping[bytes, bytes] | None) -> None:
    """Check the metadata of a table, if it has any of ours.

    Raises:
        ConfigError: it is newer than this program.
    """
    _check(path, (metadata or {}).get(_VERSION_KEY, b"1").decode(errors="replace"))


def _check(path: Path, version: Any) -> None:
    if not str(version).isdecimal() or not 1 <= int(version) <= VERSION:
        raise ConfigError(
            f"{path}: version {version} of the layout; this program reads version {VERSION}: "
            "use the Handrail that wrote it, or a newer one"
        )


@dataclass(frozen=True, slots=True)
class Header:
    """What is said about all tables together."""

    task: Task | None = None
    """None: whoever reads them must say what they are about."""
    runs: Sequence[str] = ()
    """In the order of the tables."""
    anonymous: bool = False
    """Teachers have pseudonyms."""

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written, with the task's spaces for people."""
        assert self.task is not None
        spaces = _fingerprint(self.task)
        return {
            "format": _FORMAT,
            "version": VERSION,
            "task": {
                "task_id": self.task.task_id,
                "name": self.task.name,
                "fingerprint": self.task.fingerprint,
            },
            "observation_space": spaces.get("observation_space"),
            "action_space": spaces.get("action_space"),
            "runs": list(self.runs),
            "anonymous": self.anonymous,
        }


def _fingerprint(task: Task) -> Mapping[str, Any]:
    try:
        told = json.loads(task.fingerprint)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def read_header(folder: Path) -> Header:
    """Read the header; one that says nothing where there is none.

    Raises:
        ConfigError: it is damaged, newer than this program, or none of ours.
    """
    path = folder / HEADER
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Header()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise ConfigError(f'{path}: its "format" is not "{_FORMAT}"')
    _check(path, told.get("version"))
    task, runs = told.get("task"), told.get("runs") or []
    names = ("task_id", "name", "fingerprint")
    if task is not None and not (
        isinstance(task, dict) and all(isinstance(task.get(n), str) and task[n] for n in names)
    ):
        raise ConfigError(
            f'{path}: "task" needs {", ".join(names)}, each a text; leave it out if it is unknown'
        )
    if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
        raise ConfigError(f'{path}: "runs" is not a list of texts')
    return Header(
        task=Task(**{name: task[name] for name in names}) if task else None,
        runs=runs,
        anonymous=bool(told.get("anonymous")),
    )
