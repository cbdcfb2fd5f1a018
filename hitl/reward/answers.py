"""The answers that a reward model learns from, as arrays; and which of them only judge it.

Axis suffixes: S segment, L step of a segment, P pair.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Choice, Segment

CHOICE_INDEX = {Choice.FIRST: 0, Choice.SECOND: 1, Choice.TIE: 2}
"""Choices that are trained on, as the likelihood counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One comparison that counts."""

    offset: int
    event_id: str
    teacher_id: str
    first: Segment
    second: Segment
    choice: Choice

    @property
    def run_id(self) -> str:
        """The run whose journal it stands in; ids are unique in a run."""
        return self.first.address.run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerArrays:
    """Answers ready for a batched network; shorter segments are padded with weight 0."""

    observation_SLO: NDArray[np.float32]
    action_SLA: NDArray[np.generic]
    weight_SL: NDArray[np.float32]
    first_P: NDArray[np.int64]
    second_P: NDArray[np.int64]
    choice_P: NDArray[np.int64]
    heldout_P: NDArray[np.bool_]
    """Judges the model; every other one trains it."""


def is_heldout(segment_id: str, share: float) -> bool:
    """Whether a segment only judges the model: a fixed function of its id."""
    digest = hashlib.blake2b(segment_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2**64


def arrays_of(answers: Sequence[Answer], *, heldout_share: float) -> AnswerArrays:
    """Put answers into arrays, splitting them by segment.

    An answer judges if either of its segments is held out, so no held-out segment is ever trained on.
    """
    segments = {_key(s): s for answer in answers for s in (answer.first, answer.second)}
    row = {key: index for index, key in enumerate(segments)}
    longest = max((len(segment) for segment in segments.values()), default=0)
    samples = list(segments.values())
    observation = [np.asarray(s.observations["obs"], np.float32).reshape(len(s), -1) for s in samples]
    action = [np.asarray(s.actions) for s in samples]
    weight = np.zeros((len(samples), longest), np.float32)
    for index, segment in enumerate(samples):
        weight[index, : len(segment)] = 1
    heldout = {_key(s): is_heldout(s.segment_id, heldout_share) for s in samples}
    judges = np.array([heldout[_key(a.first)] or heldout[_key(a.second)] for a in answers], bool)
    return AnswerArrays(
        observation_SLO=_stacked(observation, longest),
        action_SLA=_stacked(action, longest),
        weight_SL=weight,
        first_P=np.array([row[_key(a.first)] for a in answers], np.int64),
        second_P=np.array([row[_key(a.second)] for a in answers], np.int64),
        choice_P=np.array([CHOICE_INDEX[a.choice] for a in answers], np.int64),
        heldout_P=judges,
    )


def _key(segment: Segment) -> tuple[str, str]:
    return segment.address.run_id, segment.segment_id


def _stacked(parts: Sequence[NDArray[Any]], longest: int) -> NDArray[Any]:
    return np.stack([np.pad(part, [(0, longest - len(part))] + [(0, 0)] * (part.ndim - 1)) for part in parts])
