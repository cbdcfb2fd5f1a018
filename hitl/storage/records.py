"""Whole journals, out of a store and into another: all that was said in a run, with what it was about."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from hitl.errors import Conflict
from hitl.events import Task
from hitl.stages import Clip
from hitl.storage import schema
from hitl.storage.blobs import Blobs
from hitl.storage.clock import now_us
from hitl.storage.questions import ANSWERED, WITHDRAWN
from hitl.storage.runs import lock_run, register_task, set_next_offset
from hitl.storage.segments import load_clip, load_segments, load_true_rewards
from hitl.storage.turns import lot_of

_TOGETHER = 256
_MOST_IN_ONE_QUERY = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """A row of a journal; `kind` is the store's word, also where this program does not know the message."""

    teacher_id: str
    event_id: str
    kind: str
    body: bytes
    segment_ids: tuple[str, ...]
    record_us: int

    @property
    def identity(self) -> tuple[str, str, bytes, tuple[str, ...]]:
        """What makes two of them the same."""
        return self.teacher_id, self.event_id, hashlib.sha256(self.body).digest(), self.segment_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSegment:
    """A segment's message, with what is kept apart from it."""

    segment_id: str
    message: bytes
    true_rewards: bytes | None
    clip: Clip | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedQuestion:
    """What was asked, and whether it is open, answered or withdrawn."""

    question_id: str
    body: bytes
    segment_ids: tuple[str, ...]
    value: float
    policy_version: int
    state: str


def read_tasks(connection: Connection) -> dict[str, Task]:
    """Return all tasks by their ids."""
    rows = connection.execute(select(schema.tasks)).mappings()
    return {row["task_id"]: Task(**{k: row[k] for k in ("task_id", "name", "fingerprint")}) for row in rows}


def count_events(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Return how many events there are by run, teacher and kind."""
    table = schema.events
    of = (table.c.run_id, table.c.teacher_id, table.c.kind)
    rows = connection.execute(select(*of, func.count()).group_by(*of).order_by(*of))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def recorded_events(connection: Connection, run_id: str) -> Iterator[RecordedEvent]:
    """Yield the journal of a run, in order."""
    table = schema.events
    rows = connection.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.offset))
    for row in rows.mappings():
        yield RecordedEvent(
            teacher_id=row["teacher_id"],
            event_id=row["event_id"],
            kind=row["kind"],
            body=bytes(row["body"]),
            segment_ids=tuple(row["segment_ids"]),
            record_us=row["record_us"],
        )


def recorded_questions(connection: Connection, run_id: str) -> Iterator[RecordedQuestion]:
    """Yield the questions of a run, in the order in which they were asked."""
    table = schema.questions
    rows = connection.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.sequence))
    for row in rows.mappings():
        yield RecordedQuestion(
            question_id=row["question_id"],
            body=bytes(row["body"]),
            segment_ids=tuple(row["segment_ids"]),
            value=row["value"],
            policy_version=row["policy_version"],
            state=row["state"],
        )


def recorded_segments(
    connection: Connection, blobs: Blobs, run_id: str, *, true_rewards: bool, clips: bool
) -> Iterator[RecordedSegment]:
    """Yield all segments of a run, by their ids.

    Args:
        connection: that reads.
        blobs: beside the database.
        run_id: of the run.
        true_rewards: whether theirs are wanted; for oracles only.
        clips: whether theirs are wanted.

    Raises:
        NotFound: the blob of one of them is gone.
    """
    table = schema.segments
    query = select(table.c.segment_id).where(table.c.run_id == run_id).order_by(table.c.segment_id)
    ids = list(connection.execute(query).scalars())
    for start in range(0, len(ids), _TOGETHER):
        part = ids[start : start + _TOGETHER]
        messages = load_segments(connection, blobs, run_id, part)
        rewards = load_true_rewards(connection, run_id, part) if true_rewards else {}
        for segment_id, message in zip(part, messages, strict=True):
            yield RecordedSegment(
                segment_id=segment_id,
                message=message,
                true_rewards=rewards.get(segment_id),
                clip=load_clip(connection, blobs, run_id, segment_id) if clips else None,
            )


def prepare_runs(connection: Connection, task: Task, journals: Mapping[str, Sequence[RecordedEvent]]) -> None:
    """Make the task known, and runs of it that nobody drives; those that are there stay as they are.

    Raises:
        Conflict: a run is there and is of another task, or holds something else; or the task's id is taken.
    """
    register_task(connection, task)
    runs = schema.runs
    for run_id, journal in journals.items():
        known = connection.execute(select(runs.c.task_id).where(runs.c.run_id == run_id)).scalar()
        if known is None:
            first = dict.fromkeys(("next_offset", "env_steps", "policy_version", "reward_version"), 0)
            row = {"run_id": run_id, "task_id": task.task_id, "epoch": 0, "create_us": now_us(), **first}
            connection.execute(insert(runs), row)
        elif known != task.task_id:
            raise Conflict(f"run {run_id} is there already and is of task {known}, not {task.task_id}")
        _new_events(connection, run_id, journal)


def append_journals(
    connection: Connection,
    journals: Mapping[str, Sequence[RecordedEvent]],
    questions: Mapping[str, Sequence[RecordedQuestion]],
) -> int:
    """Append what is new of whole journals, and their questions, of which none is open any more.

    The segments that they name must be stored.

    Returns:
        How many events are new.

    Raises:
        Conflict: a run holds something else.
    """
    count = 0
    for run_id, journal in journals.items():
        next_offset: int = lock_run(connection, run_id)["next_offset"]
        new = _new_events(connection, run_id, journal)
        rows = [
            {
                "run_id": run_id,
                "offset": next_offset + place,
                "teacher_id": event.teacher_id,
                "event_id": event.event_id,
                "body": event.body,
                "digest": hashlib.sha256(event.body).digest(),
                "kind": event.kind,
                "segment_ids": list(event.segment_ids),
                "record_us": event.record_us,
            }
            for place, event in enumerate(new)
        ]
        if rows:
            connection.execute(insert(schema.events), rows)
            set_next_offset(connection, run_id, next_offset + len(rows))
        _insert_closed(connection, run_id, questions.get(run_id, ()))
        count += len(rows)
    return count


def _new_events(
    connection: Connection, run_id: str, journal: Sequence[RecordedEvent]
) -> Sequence[RecordedEvent]:
    """Return those of a journal that follow what the run holds.

    Raises:
        Conflict: the run's journal and this one are not the same as far as the shorter one goes.
    """
    known = list(recorded_events(connection, run_id))
    if any(ours.identity != theirs.identity for ours, theirs in zip(known, journal, strict=False)):
        raise Conflict(
            f"run {run_id} is there already and holds other feedback; give the recorded one another id with --as"
        )
    return journal[len(known) :]


def _insert_closed(connection: Connection, run_id: str, asked: Sequence[RecordedQuestion]) -> None:
    table = schema.questions
    known: set[str] = set()
    for start in range(0, len(asked), _MOST_IN_ONE_QUERY):
        ids = [question.question_id for question in asked[start : start + _MOST_IN_ONE_QUERY]]
        query = select(table.c.question_id).where(table.c.run_id == run_id, table.c.question_id.in_(ids))
        known.update(connection.execute(query).scalars())
    rows = [
        {
            "run_id": run_id,
            "question_id": question.question_id,
            "body": question.body,
            "segment_ids": list(question.segment_ids),
            "value": question.value,
            "policy_version": question.policy_version,
            "state": ANSWERED if question.state == ANSWERED else WITHDRAWN,
            "expire_us": None,
            "lease_teacher_id": None,
            "lease_end_us": 0,
            "lot": lot_of(question.question_id),
        }
        for question in asked
        if question.question_id not in known
    ]
    if rows:
        connection.execute(insert(table), rows)
