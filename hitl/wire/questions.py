"""Questions to messages and back."""

import math
from typing import Any

from hitl.errors import InvalidRequest
from hitl.events import (
    GoalQuestion,
    PairQuestion,
    Question,
    RankingQuestion,
    RatingQuestion,
    RelabelQuestion,
)
from hitl.fields import check_count, check_id, decode_time, encode_time
from hitl.v1 import types_pb2
from hitl.wire.stages import decode_action_space, encode_action_space

_KINDS = ("pair", "relabel", "ranking", "rating", "goal")
_MAX_RANKED = 100
_MAX_POINTS = 100


def encode_question(question: Question) -> types_pb2.Question:
    """Put a question into a message."""
    message = types_pb2.Question(
        question_id=question.question_id,
        run_id=question.run_id,
        value=question.value,
        policy_version=question.policy_version,
        reward_version=question.reward_version,
    )
    match question:
        case PairQuestion():
            message.pair.first_segment_id = question.first_segment_id
            message.pair.second_segment_id = question.second_segment_id
        case RelabelQuestion():
            message.relabel.segment_id, message.relabel.step = question.segment_id, question.step
            message.relabel.action_space.CopyFrom(encode_action_space(question.action_space))
        case RankingQuestion():
            message.ranking.segment_ids.extend(question.segment_ids)
        case RatingQuestion():
            message.rating.segment_id, message.rating.points = question.segment_id, question.points
        case GoalQuestion():
            message.goal.segment_id, message.goal.step = question.segment_id, question.step
    if question.expire_time is not None:
        message.expire_time.CopyFrom(encode_time(question.expire_time))
    if question.answers > 1:
        message.answers = question.answers
    return message


def decode_question(message: types_pb2.Question, what: str = "question") -> Question:
    """Read a question of a kind that this program knows."""
    kind = message.WhichOneof("kind")
    if kind not in _KINDS:
        raise InvalidRequest(f"{what}.kind: unset, or newer than this program; known: {', '.join(_KINDS)}")
    if not math.isfinite(message.value):
        raise InvalidRequest(f"{what}.value: {message.value} is not finite")
    common: dict[str, Any] = {
        "question_id": check_id(message.question_id, f"{what}.question_id"),
        "run_id": check_id(message.run_id, f"{what}.run_id"),
        "value": message.value,
        "policy_version": check_count(message.policy_version, f"{what}.policy_version"),
        "reward_version": check_count(message.reward_version, f"{what}.reward_version"),
        "expire_time": decode_time(message.expire_time, f"{what}.expire_time")
        if message.HasField("expire_time")
        else None,
        "answers": check_count(message.answers, f"{what}.answers") or 1,
    }
    if kind == "pair":
        return _decode_pair(message.pair, f"{what}.pair", common)
    if kind == "ranking":
        return RankingQuestion(segment_ids=_decode_ranked(message.ranking, f"{what}.ranking"), **common)
    if kind == "rating":
        return RatingQuestion(
            segment_id=check_id(message.rating.segment_id, f"{what}.rating.segment_id"),
            points=decode_points(message.rating.points, f"{what}.rating.points"),
            **common,
        )
    if kind == "goal":
        return GoalQuestion(
            segment_id=check_id(message.goal.segment_id, f"{what}.goal.segment_id"),
            step=check_count(message.goal.step, f"{what}.goal.step"),
            **common,
        )
    return RelabelQuestion(
        segment_id=check_id(message.relabel.segment_id, f"{what}.relabel.segment_id"),
        step=check_count(message.relabel.step, f"{what}.relabel.step"),
        action_space=decode_action_space(message.relabel.action_space, f"{what}.relabel.action_space"),
        **common,
    )


def _decode_pair(message: types_pb2.PairQuestion, what: str, common: dict[str, Any]) -> PairQuestion:
    question = PairQuestion(
        first_segment_id=check_id(message.first_segment_id, f"{what}.first_segment_id"),
        second_segment_id=check_id(message.second_segment_id, f"{what}.second_segment_id"),
        **common,
    )
    if question.first_segment_id == question.second_segment_id:
        raise InvalidRequest(f"{what}: a segment cannot be compared with itself")
    return question


def _decode_ranked(message: types_pb2.RankingQuestion, what: str) -> tuple[str, ...]:
    ids = tuple(check_id(segment_id, f"{what}.segment_ids") for segment_id in message.segment_ids)
    if not 2 <= len(ids) <= _MAX_RANKED:
        raise InvalidRequest(f"{what}.segment_ids: {len(ids)} of them; ask about 2 to {_MAX_RANKED}")
    if len(set(ids)) < len(ids):
        raise InvalidRequest(f"{what}.segment_ids: a segment cannot be ranked against itself")
    return ids


def decode_points(points: int, what: str) -> int:
    """Read how many points a rating has."""
    if not 2 <= points <= _MAX_POINTS:
        raise InvalidRequest(f"{what}: {points}; a rating has 2 to {_MAX_POINTS} points")
    return points
