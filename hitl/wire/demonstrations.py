"""What teachers demonstrate to messages and back, as segments that a run can keep."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from hitl.demonstrations import Piece
from hitl.errors import InvalidRequest
from hitl.events import Demonstration, Outcome, Segment, StepAddress
from hitl.fields import check_count, check_id
from hitl.tensors import decode_tensor, decode_tensors, encode_tensor, encode_tensors
from hitl.v1 import teaching_pb2
from hitl.wire.segments import check_segment, decode_outcome, encode_outcome

MAX_STEPS: Final = 10_000
"""Of one piece."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of one piece."""
SEGMENT_STEPS: Final = 50
"""Of a segment, at most, as of those that stages play."""


def encode_piece(piece: Piece) -> teaching_pb2.DemonstrateRequest:
    """Put a piece of a demonstration into a message."""
    return teaching_pb2.DemonstrateRequest(
        run_id=piece.run_id,
        event_id=piece.event_id,
        episode=piece.episode,
        begin=piece.begin,
        observations=encode_tensors(piece.observations),
        actions=encode_tensor(piece.actions),
        outcome=encode_outcome(piece.outcome) if piece.outcome else None,
    )


def decode_piece(message: teaching_pb2.DemonstrateRequest) -> Piece:
    """Read a piece of a demonstration."""
    if message.ByteSize() > MAX_BYTES:
        raise InvalidRequest(
            f"demonstration: {message.ByteSize()} bytes in one piece; send shorter pieces of the episode, "
            f"of at most {MAX_BYTES}"
        )
    actions = decode_tensor(message.actions, what="actions")
    if not actions.ndim or not 0 < len(actions) <= MAX_STEPS:
        steps = len(actions) if actions.ndim else "no"
        raise InvalidRequest(f"actions: {steps} steps in one piece; send pieces of 1 to {MAX_STEPS} steps")
    return Piece(
        run_id=check_id(message.run_id, "run_id"),
        event_id=check_id(message.event_id, "event_id"),
        episode=check_count(message.episode, "episode"),
        begin=check_count(message.begin, "begin"),
        observations=decode_tensors(message.observations, what="observations"),
        actions=actions,
        outcome=decode_outcome(message.outcome, "outcome") if message.HasField("outcome") else None,
    )


def event_of(piece: Piece) -> Demonstration:
    """Return what the journal keeps of a piece beside its segments."""
    content = encode_piece(piece)
    content.ClearField("run_id")
    content.ClearField("event_id")
    return Demonstration(
        run_id=piece.run_id,
        event_id=piece.event_id,
        episode=piece.episode,
        begin=piece.begin,
        end=piece.begin + len(piece.actions),
        digest=hashlib.sha256(content.SerializeToString(deterministic=True)).digest(),
    )


def segments_of(piece: Piece, *, teacher_id: str, task_id: str) -> Iterator[Segment]:
    """Cut a piece into segments, in order.

    Raises:
        InvalidRequest: an array has not one row a step, or the outcome is no state like the others.
    """
    # Ids are printable, so nothing in them looks like what lies between them.
    own = _digest(f"{teacher_id}\0{piece.event_id}")
    steps = len(piece.actions)
    for array_name, array in piece.observations.items():
        if not array.ndim or len(array) != steps:
            raise InvalidRequest(
                f"observations[{array_name!r}]: shape {array.shape} does not begin with the {steps} steps of actions"
            )
    for first in range(0, steps, SEGMENT_STEPS):
        last = min(first + SEGMENT_STEPS, steps)
        begin, end = piece.begin + first, piece.begin + last
        yield check_segment(
            Segment(
                segment_id=f"demonstration-{own}/{begin}-{end}",
                address=StepAddress(
                    task_id=task_id,
                    run_id=piece.run_id,
                    source=_source(teacher_id),
                    episode=piece.episode,
                    begin=begin,
                    end=end,
                ),
                observations={
                    name: np.asarray(array[first:last]) for name, array in piece.observations.items()
                },
                actions=np.asarray(piece.actions[first:last]),
                policy_version=0,
                outcome=piece.outcome if last == steps else _state(piece, last),
            ),
            "demonstration",
        )


def _state(piece: Piece, step: int) -> Outcome:
    return Outcome(observations={name: np.asarray(array[step]) for name, array in piece.observations.items()})


def _source(teacher_id: str) -> str:
    """Return whose episodes they are; a name that is too long for an id is told by its digest."""
    return f"demonstration-{teacher_id if len(teacher_id) <= 100 else _digest(teacher_id)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
