"""A folder of recorded feedback: journals and what they are about, every row checked as it is read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.recorded import layout
from cluster.recorded.arrays import tensor_of
from cluster.recorded.event_rows import event_of
from cluster.recorded.naming import Naming
from cluster.recorded.question_rows import question_of
from cluster.recorded.segment_rows import segment_of
from cluster.recorded.tables import Row, read_rows
from hitl.errors import ConfigError
from hitl.events import Event, Goal, JournalEntry, Relabel, Retraction, Segment, Task
from hitl.stages import Clip
from hitl.storage.clock import from_us
from hitl.storage.records import RecordedEvent, RecordedQuestion
from hitl.v1 import stages_pb2, types_pb2
from hitl.wire.events import decode_entry
from hitl.wire.segments import decode_true_rewards
from hitl.wire.stages import decode_clip

_SegmentKey = tuple[str, str]
"""Run and segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment, with what is kept apart from it."""

    segment: Segment
    message: bytes
    true_rewards: bytes | None
    """A `Tensor` message."""
    clip: Clip | None


class Recording:
    """One folder; nothing of it is in memory but what was said."""

    def __init__(self, folder: Path, *, task: Task | None = None, run_id: str | None = None) -> None:
        """Read the header.

        Args:
            folder: of the tables.
            task: that it must be about, by its id alone where it has no fingerprint; None for the one that the header
                names.
            run_id: what its only run is to be called; None: all keep their names.

        Raises:
            ConfigError: there is no such folder, it is newer than this program, or of another task.
        """
        self.folder = folder
        if not (folder / layout.SEGMENTS).is_file():
            raise ConfigError(f"{folder} holds no recorded feedback: there is no {layout.SEGMENTS}")
        header = layout.read_header(folder)
        self.task = _agreed(folder, header.task, task)
        self._names = list(header.runs) or [folder.resolve().name]
        self._alias = run_id

    def _naming(self) -> Naming:
        return Naming(self.task.task_id, self._names[0], self._alias)

    def check(self) -> dict[str, list[RecordedEvent]]:
        """Read every row of every table; returns the journals by run.

        Raises:
            ConfigError: a row is wrong; the message names file, row and column.
        """
        steps: dict[_SegmentKey, int] = {}
        for piece in self.segments():
            steps[piece.segment.address.run_id, piece.segment.segment_id] = len(piece.segment)
        journals = self._journals(steps)
        self.questions(steps)
        return journals

    def segments(self) -> Iterator[Piece]:
        """Yield all segments in the order of their table.

        Raises:
            ConfigError: a row is wrong; the message names file, row and column.
        """
        naming = self._naming()
        rewards = _Beside(read_rows(self.folder, layout.TRUE_REWARDS), naming)
        clips = _Beside(read_rows(self.folder, layout.CLIPS), naming)
        known: set[_SegmentKey] = set()
        frames: set[tuple[str, str, int]] = set()
        for row in read_rows(self.folder, layout.SEGMENTS):
            message, segment = segment_of(row, naming)
            key = segment.address.run_id, segment.segment_id
            if key in known:
                raise row.complaint("segment_id", f"run {key[0]} has a segment {key[1]} already")
            known.add(key)
            if showing := segment.showing:
                frame = key[0], showing.stage_id, showing.first_frame
                if frame in frames:
                    raise row.complaint(
                        "message", f"another segment begins with frame {frame[2]} of {frame[1]}, too"
                    )
                frames.add(frame)
            yield Piece(
                segment=segment,
                message=message.SerializeToString(deterministic=True),
                true_rewards=_true_rewards(rewards.take(key), len(segment)),
                clip=_clip(clips.take(key)),
            )
        rewards.finish()
        clips.finish()

    def questions(self, steps: Mapping[_SegmentKey, int] | None = None) -> dict[str, list[RecordedQuestion]]:
        """Return all questions by run.

        Args:
            steps: lengths of all segments, which questions are checked against; None: they are checked already.

        Raises:
            ConfigError: a row is wrong; the message names file, row and column.
        """
        naming, found = self._naming(), dict[str, dict[str, RecordedQuestion]]()
        for row in read_rows(self.folder, layout.QUESTIONS):
            run_id, question = question_of(row, naming)
            asked = found.setdefault(run_id, {})
            if question.question_id in asked:
                raise row.complaint(
                    "question_id", f"run {run_id} has a question {question.question_id} already"
                )
            if steps is not None:
                _check_known(row, run_id, question.segment_ids, steps)
            asked[question.question_id] = question
        return {run_id: list(asked.values()) for run_id, asked in found.items()}

    def _journals(self, steps: Mapping[_SegmentKey, int]) -> dict[str, list[RecordedEvent]]:
        naming = self._naming()
        journals = {naming.new(run_id): list[RecordedEvent]() for run_id in self._names}
        for run_id, _ in steps:
            journals.setdefault(run_id, [])
        ends: dict[str, int] = {}
        said: dict[tuple[str, str, str], Event | None] = {}
        for row in read_rows(self.folder, layout.EVENTS):
            run_id, recorded, event = event_of(row, naming)
            offset = row.get("offset", ends.get(run_id, -1) + 1)
            if offset <= ends.get(run_id, -1):
                raise row.complaint("offset", f"{offset} is not above that of the row before, {ends[run_id]}")
            ends[run_id] = offset
            key = run_id, recorded.teacher_id, recorded.event_id
            if key in said:
                raise row.complaint(
                    "event_id", f"{recorded.teacher_id} has an event {recorded.event_id} already"
                )
            _check_known(row, run_id, recorded.segment_ids, steps)
            if isinstance(event, Retraction):
                _check_retraction(row, event, said.get((*key[:2], event.retracted_event_id), event))
            if isinstance(event, Relabel | Goal):
                _check_step(row, event, [steps[run_id, id] for id in recorded.segment_ids])
            said[key] = event
            journals.setdefault(run_id, []).append(recorded)
        return journals

    def entries(self) -> Iterator[tuple[JournalEntry, list[Segment]]]:
        """Yield journals as whoever follows them sees them, each with its segments, run by run.

        Raises:
            ConfigError: a row is wrong; the message names file, row and column.
        """
        journals = self.check()
        wanted = {
            (run, id) for run, journal in journals.items() for event in journal for id in event.segment_ids
        }
        found: dict[_SegmentKey, Segment] = {}
        for piece in self.segments():
            key = piece.segment.address.run_id, piece.segment.segment_id
            if key in wanted:
                found[key] = piece.segment
        for run_id, journal in journals.items():
            for offset, event in enumerate(journal):
                message = types_pb2.JournalEntry(
                    offset=offset,
                    teacher_id=event.teacher_id,
                    event=types_pb2.FeedbackEvent.FromString(event.body),
                    segment_ids=event.segment_ids,
                )
                message.record_time.FromDatetime(from_us(event.record_us))
                yield decode_entry(message), [found[run_id, id] for id in event.segment_ids]


class _Beside:
    """Rows of a table with at most one row for each segment, in the order of segments."""

    def __init__(self, rows: Iterator[Row], naming: Naming) -> None:
        self._rows, self._naming = rows, naming
        self._next = next(rows, None)

    def take(self, key: _SegmentKey) -> Row | None:
        """Return the row of this segment, if it is the next one."""
        row = self._next
        if row is None or (self._naming.new(self._naming.run_of(row)), row.needed("segment_id")) != key:
            return None
        self._next = next(self._rows, None)
        return row

    def finish(self) -> None:
        """Check that no row is left.

        Raises:
            ConfigError: one is.
        """
        if self._next is not None:
            raise self._next.complaint(
                "segment_id",
                f"{self._next.get('segment_id')!r} is no segment, or not in the order of {layout.SEGMENTS}",
            )


def _agreed(folder: Path, told: Task | None, wanted: Task | None) -> Task:
    if told is None and wanted is None:
        raise ConfigError(
            f"{folder} does not say what it is about: there is no task in {layout.HEADER}; name a run file with --task"
        )
    if told is not None and wanted is not None and not _same(told, wanted):
        told_as, wanted_as = (f"{t.name} ({t.task_id}: {t.fingerprint})" for t in (told, wanted))
        raise ConfigError(
            f"{folder} is about another task, {told_as}, and not about {wanted_as}; feedback belongs to its task"
        )
    task = told or wanted
    assert task is not None
    return task


def _same(told: Task, wanted: Task) -> bool:
    return told.task_id == wanted.task_id and wanted.fingerprint in ("", told.fingerprint)


def _true_rewards(row: Row | None, steps: int) -> bytes | None:
    if row is None:
        return None
    with row.about("true_rewards"):
        tensor = tensor_of(row.needed("true_rewards"))
        decode_true_rewards(tensor, steps)
    return tensor.SerializeToString()


def _clip(row: Row | None) -> Clip | None:
    if row is None:
        return None
    with row.about("data"):
        return decode_clip(stages_pb2.Clip(data=row.needed("data"), type=row.needed("media_type")))


def _check_known(row: Row, run_id: str, segment_ids: Sequence[str], steps: Mapping[_SegmentKey, int]) -> None:
    for segment_id in segment_ids:
        if (run_id, segment_id) not in steps:
            raise row.complaint(
                "segment_ids", f"run {run_id} has no segment {segment_id} in {layout.SEGMENTS}"
            )


def _check_retraction(row: Row, event: Retraction, retracted: Event | None) -> None:
    if retracted is event:
        raise row.complaint(
            "retracted_event_id",
            f"this teacher has said no {event.retracted_event_id} before that could be taken back",
        )
    if isinstance(retracted, Retraction):
        raise row.complaint("retracted_event_id", "a retraction cannot be taken back")


def _check_step(row: Row, event: Relabel | Goal, steps: Sequence[int]) -> None:
    if len(steps) != 1 or event.step >= steps[0]:
        raise row.complaint("segment_ids", f"step {event.step} is not in one segment")
