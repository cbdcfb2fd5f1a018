"""Answers to questions to messages and back."""

from collections.abc import Sequence
from typing import Any, Protocol

from hitl.errors import InvalidRequest
from hitl.events import Abstention, Answer, Choice, Comparison, Goal, Ranking, Rating, Relabel
from hitl.fields import check_count, check_id, decode_duration, encode_duration
from hitl.tensors import decode_tensor, encode_tensor
from hitl.v1 import types_pb2
from hitl.wire.questions import decode_points

ANSWER_KINDS = ("comparison", "relabel", "ranking", "rating", "goal")
"""As `FeedbackEvent.kind` names them."""

_CHOICES = {
    types_pb2.CHOICE_FIRST: Choice.FIRST,
    types_pb2.CHOICE_SECOND: Choice.SECOND,
    types_pb2.CHOICE_TIE: Choice.TIE,
    types_pb2.CHOICE_SKIP: Choice.SKIP,
    types_pb2.CHOICE_CANNOT_TELL: Choice.CANNOT_TELL,
}
_CHOICE_CODES = {choice: code for code, choice in _CHOICES.items()}
_ABSTENTIONS = {
    types_pb2.ABSTENTION_SKIP: Abstention.SKIP,
    types_pb2.ABSTENTION_CANNOT_TELL: Abstention.CANNOT_TELL,
}
_ABSTENTION_CODES = {abstention: code for code, abstention in _ABSTENTIONS.items()}


def encode_answer(event: Answer, message: types_pb2.FeedbackEvent) -> None:
    """Put an answer into the message that names its run and itself already."""
    message.thinking_time.CopyFrom(encode_duration(event.thinking_time))
    match event:
        case Comparison():
            message.comparison.question_id = event.question_id
            message.comparison.choice = _CHOICE_CODES[event.choice]
        case Relabel():
            message.relabel.question_id, message.relabel.step = event.question_id, event.step
            if isinstance(event.answer, Abstention):
                message.relabel.abstention = _ABSTENTION_CODES[event.answer]
            else:
                message.relabel.action.CopyFrom(encode_tensor(event.answer))
        case Ranking():
            message.ranking.question_id = event.question_id
            if isinstance(event.ranks, Abstention):
                message.ranking.abstention = _ABSTENTION_CODES[event.ranks]
            else:
                message.ranking.ranks.ranks.extend(event.ranks)
        case Rating():
            message.rating.question_id, message.rating.points = event.question_id, event.points
            if isinstance(event.rating, Abstention):
                message.rating.abstention = _ABSTENTION_CODES[event.rating]
            else:
                message.rating.rating = event.rating
        case Goal():
            message.goal.question_id, message.goal.step = event.question_id, event.step
            if isinstance(event.reached, Abstention):
                message.goal.abstention = _ABSTENTION_CODES[event.reached]
            else:
                message.goal.reached = event.reached


def decode_answer(message: types_pb2.FeedbackEvent, kind: str, what: str) -> Answer:
    """Read an answer of one of `ANSWER_KINDS`."""
    said = getattr(message, kind)
    common: dict[str, Any] = {
        "run_id": message.run_id,
        "event_id": message.event_id,
        "question_id": check_id(said.question_id, f"{what}.{kind}.question_id"),
        "thinking_time": decode_duration(message.thinking_time, f"{what}.thinking_time"),
    }
    what = f"{what}.{kind}"
    if kind == "comparison":
        choice = _CHOICES.get(said.choice)
        if choice is None:
            raise InvalidRequest(f"{what}.choice: {said.choice} is not an answer")
        return Comparison(choice=choice, **common)
    given = said.WhichOneof("answer")
    if kind == "relabel":
        action = decode_tensor(said.action, what=f"{what}.action") if given == "action" else None
        return Relabel(
            step=check_count(said.step, f"{what}.step"),
            answer=_abstention(said, what, "an action") if action is None else action,
            **common,
        )
    if kind == "ranking":
        ranks = _check_ranks(said.ranks.ranks, f"{what}.ranks") if given == "ranks" else None
        return Ranking(ranks=_abstention(said, what, "ranks") if ranks is None else ranks, **common)
    if kind == "rating":
        points = decode_points(said.points, f"{what}.points")
        if given == "rating" and not 1 <= said.rating <= points:
            raise InvalidRequest(f"{what}.rating: {said.rating} is not from 1 to {points}")
        rating = said.rating if given == "rating" else _abstention(said, what, "a rating")
        return Rating(points=points, rating=rating, **common)
    return Goal(
        step=check_count(said.step, f"{what}.step"),
        reached=said.reached if given == "reached" else _abstention(said, what, "yes or no"),
        **common,
    )


class _CanAbstain(Protocol):
    @property
    def abstention(self) -> int: ...


def _abstention(said: _CanAbstain, what: str, wanted: str) -> Abstention:
    abstention = _ABSTENTIONS.get(types_pb2.Abstention.ValueType(said.abstention))
    if abstention is None:
        raise InvalidRequest(f"{what}.answer: neither {wanted} nor a reason why there is none")
    return abstention


def _check_ranks(ranks: Sequence[int], what: str) -> tuple[int, ...]:
    if not ranks or set(ranks) != set(range(1, max(ranks) + 1)):
        raise InvalidRequest(
            f"{what}: {list(ranks)[:20]} are no places; 1 is the best, equal numbers are ties, and no number between "
            "1 and the highest is left out"
        )
    return tuple(ranks)
