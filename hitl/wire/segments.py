"""Segments to messages and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hitl.errors import InvalidRequest
from hitl.events import Outcome, Segment, Showing, StepAddress
from hitl.fields import check_count, check_id
from hitl.tensors import Array, decode_tensor, decode_tensors, encode_tensor, encode_tensors
from hitl.v1 import types_pb2


def encode_segment(segment: Segment) -> types_pb2.Segment:
    """Put a segment into a message."""
    return types_pb2.Segment(
        segment_id=segment.segment_id,
        address=encode_address(segment.address),
        observations=encode_tensors(segment.observations),
        actions=encode_tensor(segment.actions),
        policy_version=segment.policy_version,
        showing=_encode_showing(segment.showing) if segment.showing else None,
        outcome=encode_outcome(segment.outcome) if segment.outcome else None,
    )


def encode_address(address: StepAddress) -> types_pb2.StepAddress:
    """Put the name of some steps into a message."""
    return types_pb2.StepAddress(
        task_id=address.task_id,
        run_id=address.run_id,
        source=address.source,
        episode=address.episode,
        agent=address.agent,
        begin=address.begin,
        end=address.end,
    )


def _encode_showing(showing: Showing) -> types_pb2.Showing:
    return types_pb2.Showing(
        stage_id=showing.stage_id,
        first_frame=showing.first_frame,
        seconds=encode_tensor(showing.seconds),
        policy_versions=encode_tensor(showing.policy_versions),
        teacher_id=showing.teacher_id,
    )


def encode_outcome(outcome: Outcome) -> types_pb2.Outcome:
    """Put where a step led to into a message."""
    return types_pb2.Outcome(
        observations=encode_tensors(outcome.observations),
        terminated=outcome.terminated,
        truncated=outcome.truncated,
    )


def decode_segment(message: types_pb2.Segment, what: str = "segment") -> Segment:
    """Read a segment; every array must have one row a step."""
    return check_segment(
        Segment(
            segment_id=check_id(message.segment_id, f"{what}.segment_id"),
            address=decode_address(message.address, f"{what}.address"),
            observations=decode_tensors(message.observations, what=f"{what}.observations"),
            actions=decode_tensor(message.actions, what=f"{what}.actions"),
            policy_version=check_count(message.policy_version, f"{what}.policy_version"),
            showing=_decode_showing(message.showing, f"{what}.showing")
            if message.HasField("showing")
            else None,
            outcome=decode_outcome(message.outcome, f"{what}.outcome")
            if message.HasField("outcome")
            else None,
        ),
        what,
    )


def check_segment(segment: Segment, what: str) -> Segment:
    """Return a segment whose arrays have one row a step.

    Raises:
        InvalidRequest: they have not, there are no observations, or the outcome is no state like the others.
    """
    if segment.showing:
        _check_steps(segment.showing.seconds, len(segment), f"{what}.showing.seconds")
        _check_steps(segment.showing.policy_versions, len(segment), f"{what}.showing.policy_versions")
    if not segment.observations:
        raise InvalidRequest(f"{what}.observations: none; a plain observation goes under the key 'obs'")
    for name, array in segment.observations.items():
        check_id(name, f"{what}.observations key")
        _check_steps(array, len(segment), f"{what}.observations[{name!r}]")
    _check_steps(segment.actions, len(segment), f"{what}.actions")
    if segment.outcome and _kinds(segment.outcome.observations) != {
        name: (array.dtype, array.shape[1:]) for name, array in segment.observations.items()
    }:
        raise InvalidRequest(f"{what}.outcome.observations: not one state like those of the segment")
    return segment


def _kinds(observations: Mapping[str, Array]) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    return {name: (array.dtype, array.shape) for name, array in observations.items()}


def decode_outcome(message: types_pb2.Outcome, what: str) -> Outcome:
    """Read where a step led to."""
    return Outcome(
        observations=decode_tensors(message.observations, what=f"{what}.observations"),
        terminated=message.terminated,
        truncated=message.truncated,
    )


def _decode_showing(message: types_pb2.Showing, what: str) -> Showing:
    showing = Showing(
        stage_id=check_id(message.stage_id, f"{what}.stage_id"),
        first_frame=check_count(message.first_frame, f"{what}.first_frame"),
        seconds=decode_tensor(message.seconds, what=f"{what}.seconds"),
        policy_versions=decode_tensor(message.policy_versions, what=f"{what}.policy_versions"),
        teacher_id=check_id(message.teacher_id, f"{what}.teacher_id") if message.teacher_id else "",
    )
    if showing.seconds.dtype != np.float64 or showing.policy_versions.dtype != np.int64:
        raise InvalidRequest(f"{what}: seconds and policy_versions are not float64 and int64")
    return showing


def decode_address(message: types_pb2.StepAddress, what: str) -> StepAddress:
    """Read the name of some steps."""
    begin = check_count(message.begin, f"{what}.begin")
    if message.end <= begin:
        raise InvalidRequest(f"{what}.end: {message.end} is not after begin, {begin}")
    return StepAddress(
        task_id=check_id(message.task_id, f"{what}.task_id"),
        run_id=check_id(message.run_id, f"{what}.run_id"),
        source=check_id(message.source, f"{what}.source"),
        episode=check_count(message.episode, f"{what}.episode"),
        agent=check_count(message.agent, f"{what}.agent"),
        begin=begin,
        end=message.end,
    )


def _check_steps(array: Array, steps: int, what: str) -> None:
    if array.ndim == 0 or array.shape[0] != steps:
        raise InvalidRequest(
            f"{what}: shape {array.shape} does not begin with the {steps} steps of the address"
        )


def decode_true_rewards(message: types_pb2.Tensor, steps: int, what: str = "true_rewards") -> Array:
    """Read the environment's rewards of a segment: finite floats of shape [steps]."""
    rewards = decode_tensor(message, what=what)
    if rewards.shape != (steps,) or not np.issubdtype(rewards.dtype, np.floating):
        raise InvalidRequest(
            f"{what}: {rewards.dtype} of shape {rewards.shape}, not floats of shape ({steps},)"
        )
    if not np.isfinite(rewards).all():
        raise InvalidRequest(f"{what}: not every reward is finite")
    return rewards
