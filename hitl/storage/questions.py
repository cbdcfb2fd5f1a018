"""Questions: asked by the cluster, leased to one teacher for a while, closed by an answer or by time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from hitl.events import Question
from hitl.questions import Turn
from hitl.storage import schema
from hitl.storage.answerers import HAS_ANSWER, add_answerers, answered_by, find_answerers
from hitl.storage.clock import from_us, now_us, to_us
from hitl.storage.turns import is_turn_of, lot_of
from hitl.v1 import types_pb2
from hitl.wire.questions import decode_question

_questions = schema.questions

OPEN, ANSWERED, WITHDRAWN = "open", "answered", "withdrawn"

# Statements of the hot path are built once: building costs more than running.
_THESE = and_(
    _questions.c.run_id == bindparam("of_run"),
    _questions.c.question_id.in_(bindparam("question_ids", expanding=True)),
)
_ASKED = (
    select(
        _questions.c.question_id,
        _questions.c.segment_ids,
        _questions.c.state,
        _questions.c.expire_us,
        _questions.c.lease_teacher_id,
        _questions.c.lease_end_us,
        _questions.c.body,
    )
    .where(_THESE)
    .with_for_update()
)
_ASK_AGAIN = (
    update(_questions)
    .where(
        _questions.c.run_id == bindparam("of_run"),
        _questions.c.question_id == bindparam("of_question"),
        _questions.c.state != ANSWERED,
    )
    .values(expire_us=bindparam("until"), state=OPEN)
)
_CLOSE_ANSWERED = update(_questions).where(_THESE).values(state=ANSWERED)
_LEAVE_TO_OTHERS = update(_questions).where(_THESE).values(lease_teacher_id=None, lease_end_us=0)


@dataclass(slots=True)
class Counts:
    """How a run's questions stand; closed means withdrawn or expired."""

    open: int = 0
    answered: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """A question with its message as it came."""

    question: Question
    body: bytes


@dataclass(frozen=True, slots=True)
class Leased:
    """A question that the teacher now has until `lease_end`."""

    question_id: str
    body: bytes
    segment_ids: tuple[str, ...]
    lease_end: datetime


@dataclass(frozen=True, slots=True)
class LeaseResult:
    """What could be leased; `next_end`, of use where nothing could, is when the next lease runs out."""

    leased: tuple[Leased, ...] = ()
    next_end: datetime | None = None


@dataclass(slots=True)
class Asked:
    """What an answer must know of its question."""

    segment_ids: tuple[str, ...]
    state: str
    expire_us: int | None
    lease_teacher_id: str | None
    lease_end_us: int
    body: bytes
    answerers: set[str] = field(default_factory=set)
    """Who has answered, where it wants several teachers."""
    answered_now: list[str] = field(default_factory=list)
    """Who has in this transaction."""

    @property
    def question(self) -> Question:
        """What was asked."""
        return decode_question(types_pb2.Question.FromString(self.body))

    @property
    def wanted(self) -> int:
        """How many teachers are to answer."""
        return types_pb2.Question.FromString(self.body).answers or 1

    def take_answer(self, teacher_id: str) -> None:
        """Close it, or leave it to the next teacher if it wants several."""
        self.answerers.add(teacher_id)
        self.answered_now.append(teacher_id)
        if len(self.answerers) >= self.wanted:
            self.state = ANSWERED
        else:
            self.lease_teacher_id, self.lease_end_us = None, 0


def insert_questions(connection: Connection, run_id: str, asked: Iterable[NewQuestion]) -> None:
    """Store questions; one without an answer that is asked again is open until its new time, and otherwise as it was.

    The caller has locked the run.
    """
    wanted = {new.question.question_id: new for new in reversed(list(asked))}
    known = set(connection.execute(select(_questions.c.question_id).where(_these(run_id, wanted))).scalars())
    if known:
        connection.execute(
            _ASK_AGAIN,
            [
                {"of_run": run_id, "of_question": question_id, "until": _expire_us(wanted[question_id])}
                for question_id in known
            ],
        )
    rows = [
        {
            "run_id": run_id,
            "question_id": new.question.question_id,
            "body": new.body,
            "segment_ids": list(new.question.segment_ids),
            "value": new.question.value,
            "policy_version": new.question.policy_version,
            "state": OPEN,
            "expire_us": _expire_us(new),
            "lease_teacher_id": None,
            "lease_end_us": 0,
            "lot": lot_of(question_id),
        }
        for question_id, new in reversed(wanted.items())
        if question_id not in known
    ]
    if rows:
        connection.execute(insert(_questions), rows)


def _expire_us(new: NewQuestion) -> int | None:
    return None if new.question.expire_time is None else to_us(new.question.expire_time)


def withdraw_questions(connection: Connection, run_id: str, question_ids: Collection[str]) -> None:
    """Close those of the questions that are still open."""
    connection.execute(
        update(_questions)
        .where(_these(run_id, question_ids), _questions.c.state == OPEN)
        .values(state=WITHDRAWN)
    )


def lease_questions(
    connection: Connection,
    run_id: str,
    teacher_id: str,
    limit: int,
    lease_us: int,
    turn: Turn | None = None,
) -> LeaseResult:
    """Give the teacher up to `limit` open questions that nobody has, the freshest and most valuable first.

    Those that have an answer and want another one come last, and never to who gave it. Who has a turn gets those whose
    turn it is; a lease that runs out or is given back leaves the question to the same place.
    """
    now = now_us()
    for_teacher = _for_teacher(teacher_id, turn)
    chosen = connection.execute(
        select(_questions)
        .where(
            _questions.c.run_id == run_id,
            _alive(now),
            _questions.c.lease_end_us <= now,
            for_teacher,
        )
        .order_by(
            HAS_ANSWER, _questions.c.policy_version.desc(), _questions.c.value.desc(), _questions.c.sequence
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = chosen.mappings().all()
    if not rows:
        return LeaseResult(next_end=_next_lease_end(connection, run_id, for_teacher, now))
    lease_end = now + lease_us
    connection.execute(
        update(_questions)
        .where(_questions.c.sequence.in_([row["sequence"] for row in rows]))
        .values(lease_teacher_id=teacher_id, lease_end_us=lease_end)
    )
    return LeaseResult(leased=tuple(_leased(row, lease_end) for row in rows))


def release_questions(
    connection: Connection, run_id: str, teacher_id: str, question_ids: Collection[str]
) -> None:
    """End the teacher's own leases of these questions, so that someone else gets them."""
    connection.execute(
        update(_questions)
        .where(_these(run_id, question_ids), _questions.c.lease_teacher_id == teacher_id)
        .values(lease_teacher_id=None, lease_end_us=0)
    )


def asked_questions(connection: Connection, run_id: str, question_ids: Collection[str]) -> dict[str, Asked]:
    """Return what answers must know of these questions, by id; unknown ones are left out."""
    if not question_ids:
        return {}
    rows = connection.execute(_ASKED, {"of_run": run_id, "question_ids": list(question_ids)})
    asked = {row[0]: Asked(tuple(row[1]), *row[2:]) for row in rows}
    shared = [question_id for question_id, one in asked.items() if one.wanted > 1]
    if shared:
        for question_id, teacher_id in find_answerers(connection, run_id, shared):
            asked[question_id].answerers.add(teacher_id)
    return asked


def store_answered(connection: Connection, run_id: str, asked: Mapping[str, Asked]) -> None:
    """Keep what became of questions, by id, that have been answered now: closed, or left to another teacher."""
    answered = {question_id: one for question_id, one in asked.items() if one.answered_now}
    closed = [question_id for question_id, one in answered.items() if one.state == ANSWERED]
    if closed:
        connection.execute(_CLOSE_ANSWERED, {"of_run": run_id, "question_ids": closed})
    left = [question_id for question_id, one in answered.items() if one.state == OPEN]
    if left:
        connection.execute(_LEAVE_TO_OTHERS, {"of_run": run_id, "question_ids": left})
    shared = {question_id: one for question_id, one in answered.items() if one.wanted > 1}
    add_answerers(connection, run_id, ((id, who) for id, one in shared.items() for who in one.answered_now))


def count_questions(connection: Connection, run_ids: Sequence[str]) -> dict[str, Counts]:
    """Return how the questions of each of these runs stand."""
    counts = {run_id: Counts() for run_id in run_ids}
    now = now_us()
    alive = _alive(now)
    rows = connection.execute(
        select(_questions.c.run_id, _questions.c.state, alive, func.count())
        .where(_questions.c.run_id.in_(run_ids))
        .group_by(_questions.c.run_id, _questions.c.state, alive)
    )
    for run_id, state, is_alive, number in rows:
        if state == ANSWERED:
            counts[run_id].answered += number
        elif is_alive:
            counts[run_id].open += number
        else:
            counts[run_id].closed += number
    return counts


def count_open(connection: Connection) -> int:
    """Return how many questions of all runs wait for a teacher, leased or not."""
    query = select(func.count()).select_from(_questions).where(_alive(now_us()))
    return int(connection.execute(query).scalar_one())


def _these(run_id: str, question_ids: Collection[str]) -> ColumnElement[bool]:
    return and_(_questions.c.run_id == run_id, _questions.c.question_id.in_(question_ids))


def _alive(now: int) -> ColumnElement[bool]:
    not_expired = or_(_questions.c.expire_us.is_(None), _questions.c.expire_us > now)
    return and_(_questions.c.state == OPEN, not_expired)


def _for_teacher(teacher_id: str, turn: Turn | None) -> ColumnElement[bool]:
    others = ~answered_by(teacher_id)
    return others if turn is None else and_(others, is_turn_of(turn))


def _next_lease_end(
    connection: Connection, run_id: str, for_teacher: ColumnElement[bool], now: int
) -> datetime | None:
    query = select(func.min(_questions.c.lease_end_us)).where(
        _questions.c.run_id == run_id, _alive(now), for_teacher
    )
    end = connection.execute(query).scalar_one()
    return None if end is None else from_us(end)


def _leased(row: RowMapping, lease_end: int) -> Leased:
    return Leased(row["question_id"], bytes(row["body"]), tuple(row["segment_ids"]), from_us(lease_end))
