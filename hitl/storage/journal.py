"""The journal: what teachers said, append-only, with offsets that are dense per run."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from sqlalchemy import Connection, bindparam, insert, select

from hitl.errors import Conflict, InvalidRequest, NotFound, RequestError, Unavailable
from hitl.events import Answer, Correction, Demonstration, Event, Receipt, Retraction, Signal
from hitl.storage import questions, schema, showings
from hitl.storage.answering import check_fits, check_open
from hitl.storage.clock import from_us, now_us
from hitl.storage.runs import lock_run, set_next_offset
from hitl.storage.segments import StoredSegment, insert_segments, known_segments

_events = schema.events

# So many are looked up with one statement: databases bound the number of its parameters.
_MAX_TOGETHER = 5000

# Statements of the hot path are built once: building costs more than running.
_INSERT = insert(_events)
_KNOWN = select(
    _events.c.teacher_id,
    _events.c.event_id,
    _events.c.offset,
    _events.c.digest,
    _events.c.kind,
    _events.c.record_us,
).where(
    _events.c.run_id == bindparam("run_id"), _events.c.event_id.in_(bindparam("event_ids", expanding=True))
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What a teacher said, with its message as it came, serialised in the canonical way."""

    teacher_id: str
    event: Event
    body: bytes
    needs: tuple[str, ...] = ()
    """Segments that must be stored before it; a correction is about them."""
    brings: tuple[StoredSegment, ...] = ()
    """Segments that are stored with it; a demonstration is about them."""
    objection: RequestError | None = None
    """Why it cannot be recorded, unless it is already."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two events of a run the same."""
        return self.teacher_id, self.event.event_id


@dataclass(frozen=True, slots=True)
class Appended:
    """An event is durable; `new` is false for a repeat of one that was already."""

    receipt: Receipt
    new: bool
    segments: int = 0
    """How many segments a new one names."""
    wants_more: bool = False
    """It answers a question that is now left to another teacher."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the journal."""

    offset: int
    teacher_id: str
    record_us: int
    body: bytes
    segment_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What a repeat or a retraction must know of an earlier event."""

    offset: int
    digest: bytes
    kind: str
    record_us: int


def append_events(
    connection: Connection, batches: Sequence[Sequence[NewEvent]]
) -> list[list[Appended | RequestError]]:
    """Append what teachers said, close the questions that it answers, and say of each what became of it.

    Takes the batches of many calls at once, because the cost is in the statements and not in their rows.
    """
    events = list(chain.from_iterable(batches))
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, new in enumerate(events):
        places[new.event.run_id].append(place)
    results: dict[int, Appended | RequestError] = {}
    for run_id, run_places in places.items():
        for start in range(0, len(run_places), _MAX_TOGETHER):
            together = run_places[start : start + _MAX_TOGETHER]
            appended = _append_to_run(connection, run_id, [events[place] for place in together])
            results.update(zip(together, appended, strict=True))
    in_order = (results[place] for place in range(len(events)))
    return [list(islice(in_order, len(batch))) for batch in batches]


def _append_to_run(
    connection: Connection, run_id: str, events: Sequence[NewEvent]
) -> Sequence[Appended | RequestError]:
    try:
        return _Appending(connection, run_id, events).results()
    except NotFound as error:
        return [error] * len(events)


class _Appending:
    """Events of one run: looked up together, judged in order, written together."""

    def __init__(self, connection: Connection, run_id: str, events: Sequence[NewEvent]) -> None:
        self._connection, self._run_id, self._events = connection, run_id, events
        self._now = now_us()
        # The lock comes first: what is read after it is true until the commit.
        self._next_offset: int = lock_run(connection, run_id)["next_offset"]
        self._rows: list[dict[str, object]] = []
        self._known = self._known_events({id for new in events for id in _named_events(new.event)})
        self._asked = questions.asked_questions(
            connection,
            run_id,
            {new.event.question_id for new in events if isinstance(new.event, Answer)},
        )

    def results(self) -> list[Appended | RequestError]:
        results = [self._result(new) for new in self._events]
        if self._rows:
            self._connection.execute(_INSERT, self._rows)
            set_next_offset(self._connection, self._run_id, self._next_offset)
        questions.store_answered(self._connection, self._run_id, self._asked)
        return results

    def _result(self, new: NewEvent) -> Appended | RequestError:
        digest = hashlib.sha256(new.body).digest()
        known = self._known.get(new.key)
        if known is not None and known.digest == digest:
            return Appended(self._receipt(new.event.event_id, known), new=False)
        if known is not None:
            return Conflict(
                f"event {new.event.event_id} is recorded with another body; "
                "a new statement needs an event_id of its own"
            )
        try:
            segment_ids = self._judge(new)
        except RequestError as error:
            return error
        asked = self._asked.get(new.event.question_id) if isinstance(new.event, Answer) else None
        return Appended(
            self._record(new, digest, segment_ids),
            new=True,
            segments=len(segment_ids),
            wants_more=asked is not None and asked.state == questions.OPEN,
        )

    def _judge(self, new: NewEvent) -> tuple[str, ...]:
        """Return the segments that the event is about, or raise why it cannot be recorded."""
        event = new.event
        if new.objection is not None:
            raise new.objection
        needs = set(new.needs)
        if needs and len(known_segments(self._connection, self._run_id, needs)) < len(needs):
            raise Unavailable("the steps that this is about could not be stored; try again")
        if isinstance(event, Retraction):
            self._check_retraction(event, new.teacher_id)
            return ()
        if isinstance(event, Signal):
            return showings.shown_up_to(self._connection, self._run_id, event.stage_id, event.frame)
        if isinstance(event, Correction):
            return new.needs
        if isinstance(event, Demonstration):
            insert_segments(self._connection, self._run_id, new.brings)
            return tuple(segment.segment_id for segment in new.brings)
        asked = self._asked.get(event.question_id)
        if asked is None:
            raise NotFound(f"run {event.run_id} has no question {event.question_id}")
        check_fits(event, asked.question)
        check_open(asked, event.question_id, new.teacher_id, self._now)
        asked.take_answer(new.teacher_id)
        return asked.segment_ids

    def _check_retraction(self, event: Retraction, teacher_id: str) -> None:
        retracted = self._known.get((teacher_id, event.retracted_event_id))
        if retracted is None:
            raise NotFound(
                f"run {event.run_id} has no event {event.retracted_event_id} of yours to take back"
            )
        if retracted.kind == kind_of(event):
            raise InvalidRequest(
                f"event {event.retracted_event_id} is itself a retraction, which cannot be taken back"
            )

    def _record(self, new: NewEvent, digest: bytes, segment_ids: tuple[str, ...]) -> Receipt:
        known = _Known(self._next_offset, digest, kind_of(new.event), self._now)
        self._known[new.key] = known
        self._next_offset += 1
        self._rows.append(
            {
                "run_id": self._run_id,
                "offset": known.offset,
                "teacher_id": new.teacher_id,
                "event_id": new.event.event_id,
                "body": new.body,
                "digest": digest,
                "kind": known.kind,
                "segment_ids": list(segment_ids),
                "record_us": known.record_us,
            }
        )
        return self._receipt(new.event.event_id, known)

    def _receipt(self, event_id: str, known: _Known) -> Receipt:
        return Receipt(
            run_id=self._run_id,
            event_id=event_id,
            offset=known.offset,
            record_time=from_us(known.record_us),
        )

    def _known_events(self, event_ids: Collection[str]) -> dict[tuple[str, str], _Known]:
        rows = self._connection.execute(_KNOWN, {"run_id": self._run_id, "event_ids": list(event_ids)})
        return {(row[0], row[1]): _Known(row[2], bytes(row[3]), row[4], row[5]) for row in rows}


def kind_of(event: Event) -> str:
    """Return the word by which the store knows the kind of an event."""
    return type(event).__name__.lower()


def _named_events(event: Event) -> Iterable[str]:
    return (event.event_id, event.retracted_event_id) if isinstance(event, Retraction) else (event.event_id,)


def read_entries(connection: Connection, run_id: str, from_offset: int, limit: int | None) -> list[Entry]:
    """Return up to `limit` entries of a run's journal, from an offset on; all of them if it is None."""
    query = (
        select(
            _events.c.offset, _events.c.teacher_id, _events.c.record_us, _events.c.body, _events.c.segment_ids
        )
        .where(_events.c.run_id == run_id, _events.c.offset >= from_offset)
        .order_by(_events.c.offset)
        .limit(limit)
    )
    rows = connection.execute(query)
    return [Entry(row[0], row[1], row[2], bytes(row[3]), tuple(row[4])) for row in rows]
