"""Rows of evidence that come one after the other and find room; and whether they train or judge.

Axis suffixes: L step, O number of a flat observation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Correction, Segment, Signal
from hitl.reward.settings import Reads

Observations = NDArray[np.float32 | np.uint8]
"""Flat ones; pictures are bytes, and stay so for as long as they are kept."""
FIRST_ROWS = 64
_FRAMES_TOGETHER = 64
"""What is said on so many consecutive frames of a stage is held out together: it is about the same steps."""


def grown(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of this shape with the given one in its corner and zeros beside it."""
    wider = np.zeros(shape, array.dtype)
    wider[tuple(slice(0, size) for size in array.shape)] = array
    return wider


def flat_observations(segment: Segment) -> Observations:
    """Return the observations of a segment's steps, [L, O]: bytes as they are, all else as float32."""
    return _flat(np.asarray(segment.observations["obs"]), len(segment))


def steps_of(segment: Segment, reads: Reads = "state_action") -> tuple[Observations, NDArray[Any]]:
    """Return what a reward model reads of a segment's steps: observations [L, O] and actions [L, ...].

    Where it reads what followed, that stands behind each observation. A segment without an outcome does not say what
    followed its last step, so there that step is left out.
    """
    observation_LO, action_LA = flat_observations(segment), np.asarray(segment.actions)
    if reads != "state_action_next":
        return observation_LO, action_LA
    following_LO = observation_LO[1:]
    if segment.outcome is not None:
        last_1O = _flat(np.asarray(segment.outcome.observations["obs"]), 1)
        following_LO = np.concatenate([following_LO, last_1O])
    known = len(following_LO)
    return np.concatenate([observation_LO[:known], following_LO], 1), action_LA[:known]


def _flat(observation: NDArray[Any], steps: int) -> Observations:
    if observation.dtype != np.uint8:
        observation = observation.astype(np.float32)
    flat_LO: Observations = observation.reshape(steps, -1)
    return flat_LO


def block_of(event: Signal | Correction, frame: int) -> str:
    """Return the name of the block that a frame of an event's stage belongs to: a block trains, or judges, whole."""
    return f"{event.run_id}/{event.stage_id}/{frame // _FRAMES_TOGETHER}"
