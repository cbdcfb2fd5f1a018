"""From the store of a service to the tables of recorded feedback."""

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from cluster.recorded import layout
from cluster.recorded.arrays import tensor_struct
from cluster.recorded.place import ServicePlace
from cluster.recorded.pseudonyms import Pseudonyms
from cluster.recorded.readable import readable
from cluster.recorded.segment_rows import columns_of
from cluster.runs.folder import write_json
from hitl.errors import ConfigError, StorageError
from hitl.events import Task
from hitl.storage import runs
from hitl.storage.blobs import Blobs
from hitl.storage.clock import from_us
from hitl.storage.records import (
    RecordedEvent,
    RecordedQuestion,
    RecordedSegment,
    read_tasks,
    recorded_events,
    recorded_questions,
    recorded_segments,
)
from hitl.tokens import load_or_create_secret, verify
from hitl.v1 import types_pb2

_ROWS_TOGETHER = 1024
_BYTES_TOGETHER = 64 * 2**20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    task: Task
    runs: Sequence[str]
    rows: Mapping[str, int]
    """Of each table."""


def export_feedback(
    place: ServicePlace,
    run_ids: Sequence[str],
    folder: Path,
    *,
    anonymous: bool = False,
    oracle_token: str | None = None,
    clips: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write all that was said in runs of one task, and all that it is about.

    Args:
        place: of the service.
        run_ids: of the runs; they share a task.
        folder: to be made.
        anonymous: teachers are named by pseudonyms, which are the same whenever this service exports.
        oracle_token: a token of the role oracle, by which true rewards are written as well; None for none.
        clips: whether the clips of segments are.
        overwrite: take the place of what is there.

    Raises:
        ConfigError: there is no such run, runs are of several tasks, the folder is there, or the place is empty.
        Unauthenticated: the token is not one of this service.
        StorageError: something cannot be read or written.
    """
    if oracle_token is not None:
        check_oracle(place, oracle_token, run_ids)
    if folder.exists() and not overwrite:
        raise ConfigError(f"{folder} is there already; choose another folder, or give --overwrite")
    names = Pseudonyms(load_or_create_secret(place.secret) if anonymous else None)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        with place.reading() as (connection, blobs):
            task = _task_of(connection, run_ids)
            draft.mkdir(parents=True)
            writer = _Writer(draft)
            for run_id in run_ids:
                _export_run(
                    writer,
                    connection,
                    blobs,
                    run_id,
                    names=names,
                    true_rewards=oracle_token is not None,
                    clips=clips,
                )
            writer.close()
        header = layout.Header(task=task, runs=run_ids, anonymous=anonymous)
        write_json(draft / layout.HEADER, header.to_json())
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(draft, folder)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(folder=folder, task=task, runs=run_ids, rows=writer.counts)


def check_oracle(place: ServicePlace, token: str, run_ids: Sequence[str]) -> None:
    """Check that whoever holds the token may see the true rewards of these runs.

    Raises:
        ConfigError: it is not of the role oracle, or not good for one of them.
        Unauthenticated: it is not one of this service.
    """
    principal = verify(load_or_create_secret(place.secret), token)
    if principal.role != "oracle" or not all(map(principal.may_use, run_ids)):
        raise ConfigError(
            f"true rewards are for oracles: the token is of {principal.name}, role {principal.role}"
            + ("" if principal.role != "oracle" else ", and not good for all of these runs")
            + "; make one with `handrail token --role oracle`"
        )


def _task_of(connection: Connection, run_ids: Sequence[str]) -> Task:
    known = {run.run_id: run.task_id for run in runs.list_runs(connection, None)}
    for run_id in run_ids:
        if run_id not in known:
            raise ConfigError(
                f"there is no run {run_id} here; `handrail feedback list` tells which there are"
            )
    tasks = read_tasks(connection)
    found = {known[run_id] for run_id in run_ids}
    if len(found) != 1:
        raise ConfigError(
            f"these runs are of {len(found)} tasks ({', '.join(sorted(tasks[t].name for t in found))}); "
            "feedback belongs to its task, so write one folder for each"
        )
    return tasks[found.pop()]


class _Writer:
    """Rows of all tables, written in parts of bounded size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, pq.ParquetWriter] = {}
        self.counts: Counter[str] = Counter()

    def write(self, table: str, rows: Iterable[tuple[Row, int]]) -> None:
        """Append rows, each with the bytes that it takes, roughly."""
        schema = layout.schema_of(table)
        if table not in self._files:
            self._files[table] = pq.ParquetWriter(self._folder / table, schema, compression="zstd")
        part: list[Row] = []
        part_bytes = 0
        for row, size in rows:
            part.append(row)
            part_bytes += size
            if len(part) == _ROWS_TOGETHER or part_bytes > _BYTES_TOGETHER:
                self._flush(table, schema, part)
                part, part_bytes = [], 0
        if part:
            self._flush(table, schema, part)

    def _flush(self, table: str, schema: pa.Schema, part: list[Row]) -> None:
        self._files[table].write_table(pa.Table.from_pylist(part, schema=schema))
        self.counts[table] += len(part)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _export_run(
    writer: _Writer,
    connection: Connection,
    blobs: Blobs,
    run_id: str,
    *,
    names: Pseudonyms,
    true_rewards: bool,
    clips: bool,
) -> None:
    # First the journal: segments are stored before what names them, so none of them is missing then.
    writer.write(layout.EVENTS, _event_rows(run_id, recorded_events(connection, run_id), names))
    writer.write(layout.QUESTIONS, _question_rows(run_id, recorded_questions(connection, run_id)))
    beside: dict[str, list[tuple[Row, int]]] = {layout.TRUE_REWARDS: [], layout.CLIPS: []}

    def rows() -> Iterator[tuple[Row, int]]:
        found = recorded_segments(connection, blobs, run_id, true_rewards=true_rewards, clips=clips)
        for segment in found:
            key = {"run_id": run_id, "segment_id": names.segment(segment.segment_id)}
            if segment.true_rewards is not None:
                rewards = tensor_struct(types_pb2.Tensor.FromString(segment.true_rewards))
                beside[layout.TRUE_REWARDS].append(({**key, "true_rewards": rewards}, 0))
            if segment.clip is not None:
                clip = {"media_type": segment.clip.media_type, "data": segment.clip.data}
                beside[layout.CLIPS].append(({**key, **clip}, len(segment.clip.data)))
                if sum(size for _, size in beside[layout.CLIPS]) > _BYTES_TOGETHER:
                    writer.write(layout.CLIPS, beside[layout.CLIPS])
                    beside[layout.CLIPS].clear()
            yield _segment_row(run_id, segment, names), len(segment.message)

    writer.write(layout.SEGMENTS, rows())
    for table, wanted in ((layout.TRUE_REWARDS, true_rewards), (layout.CLIPS, clips)):
        if wanted:
            writer.write(table, beside[table])


def _event_rows(run_id: str, events: Iterable[RecordedEvent], names: Pseudonyms) -> Iterator[tuple[Row, int]]:
    for offset, event in enumerate(events):
        message = types_pb2.FeedbackEvent.FromString(event.body)
        row = {
            "run_id": run_id,
            "offset": offset,
            "event_id": event.event_id,
            "teacher_id": names.teacher(event.teacher_id),
            "record_time": from_us(event.record_us),
            "kind": event.kind,
            "segment_ids": [names.segment(segment_id) for segment_id in event.segment_ids],
            "message": event.body,
        }
        yield {**row, **readable(message)}, len(event.body)


def _question_rows(run_id: str, asked: Iterable[RecordedQuestion]) -> Iterator[tuple[Row, int]]:
    for question in asked:
        row = {
            "run_id": run_id,
            "question_id": question.question_id,
            "state": question.state,
            "segment_ids": list(question.segment_ids),
            "value": question.value,
            "policy_version": question.policy_version,
            "message": question.body,
        }
        yield row, len(question.body)


def _segment_row(run_id: str, segment: RecordedSegment, names: Pseudonyms) -> Row:
    message = types_pb2.Segment.FromString(segment.message)
    address = message.address
    message.segment_id, address.source = names.segment(message.segment_id), names.source(address.source)
    row: Row = {
        **columns_of(message),
        "run_id": run_id,
        "stage_id": message.showing.stage_id or None,
        "actions": tensor_struct(message.actions),
    }
    message.ClearField("actions")
    if "obs" in message.observations:
        row["observations"] = tensor_struct(message.observations["obs"])
        del message.observations["obs"]
    if message.showing.teacher_id:
        message.showing.teacher_id = names.teacher(message.showing.teacher_id)
    # Whatever else there is, also what is newer than this program.
    row["message"] = message.SerializeToString(deterministic=True)
    return row
