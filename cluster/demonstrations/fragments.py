"""Pieces of episodes that stages have shown, put together from the segments of a journal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.demonstrations.recorded_run import RecordedRun
from hitl.events import Segment
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Steps of one episode without a gap; T step, O number of a flat observation, A action."""

    stage: str
    episode: int
    begin: int
    """The first step's place in the episode."""
    teachers: tuple[str, ...]
    """Who acted in it; the policy is not named."""
    observation_TO: NDArray[Any]
    """T + 1 of them: the last one is what the last step led to."""
    action_TA: NDArray[Any]
    reward_T: NDArray[np.float64]
    """The environment's; not a number where none is recorded."""
    demonstrated_T: NDArray[np.bool_]
    """Where a teacher acted, and it was to be learnt from."""
    terminated: bool
    """The last step ended the episode; otherwise it was cut there, or goes on."""

    def __len__(self) -> int:
        return len(self.action_TA)


def fragments(recorded: RecordedRun, *, all_steps: bool) -> Iterator[Fragment]:
    """Yield what stages have shown, in the order of stages and steps.

    Args:
        recorded: the journal.
        all_steps: also what the policy did, and safe stops; otherwise what teachers did with the controls and have
            not taken back, the steps of each teacher apart.
    """
    taken_over = {one.segment_id for one in recorded.said()}
    ids = [segment_id for segment_id in recorded.shown() if all_steps or segment_id in taken_over]
    part: list[Segment] = []
    for segment in recorded.segments(ids):
        if part and not _follows(part[-1], segment, by_teacher=not all_steps):
            yield _fragment(recorded, part, taken_over)
            part = []
        # Steps of an older version are stored without what the last of them led to.
        if segment.outcome is not None:
            part.append(segment)
    if part:
        yield _fragment(recorded, part, taken_over)


def _follows(before: Segment, after: Segment, *, by_teacher: bool) -> bool:
    first, second = before.address, after.address
    place = (first.source, first.episode, first.end) == (second.source, second.episode, second.begin)
    return place and (not by_teacher or _teacher(before) == _teacher(after))


def _teacher(segment: Segment) -> str:
    return segment.showing.teacher_id if segment.showing else ""


def _fragment(recorded: RecordedRun, segments: list[Segment], taken_over: set[str]) -> Fragment:
    address, outcome = segments[0].address, segments[-1].outcome
    assert outcome is not None
    return Fragment(
        stage=address.source,
        episode=address.episode,
        begin=address.begin,
        teachers=tuple(dict.fromkeys(filter(None, map(_teacher, segments)))),
        observation_TO=np.concatenate(
            [*(_flat(segment) for segment in segments), outcome.observations["obs"].reshape(1, -1)]
        ),
        action_TA=np.concatenate([segment.actions for segment in segments]),
        reward_T=np.concatenate([_rewards(recorded, segment) for segment in segments]),
        demonstrated_T=np.concatenate([np.full(len(s), s.segment_id in taken_over) for s in segments]),
        terminated=outcome.terminated,
    )


def _flat(segment: Segment) -> Array:
    return segment.observations["obs"].reshape(len(segment), -1)


def _rewards(recorded: RecordedRun, segment: Segment) -> NDArray[np.float64]:
    rewards = recorded.true_rewards(segment)
    return np.full(len(segment), np.nan) if rewards is None else rewards.astype(np.float64)
