"""Rows of evidence that come one after the other and find room; and whether they train or judge.

Axis suffixes: L step, O number of a flat observation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Correction, Segment, Signal

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
    observation: NDArray[Any] = np.asarray(segment.observations["obs"])
    if observation.dtype != np.uint8:
        observation = observation.astype(np.float32)
    flat_LO: Observations = observation.reshape(len(segment), -1)
    return flat_LO


def block_of(event: Signal | Correction, frame: int) -> str:
    """Return the name of the block that a frame of an event's stage belongs to: a block trains, or judges, whole."""
    return f"{event.run_id}/{event.stage_id}/{frame // _FRAMES_TOGETHER}"
