"""Segments that people judged, as arrays that a network reads together.

Axis suffixes: S segment, L step of a segment, F input feature.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Outcome, Segment
from hitl.reward.evidence.rows import steps_of
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import Reads

Key = tuple[str, str, int]
"""The run and the id of a segment, unique in the run, and its first step: some are about a part of it."""


def key_of(segment: Segment) -> Key:
    """Return what tells a segment from all others."""
    return segment.address.run_id, segment.segment_id, segment.address.begin


class SegmentArrays:
    """Segments of any lengths, each once; shorter ones are padded with weight 0."""

    def __init__(self, segments: Iterable[Segment], reads: Reads = "state_action") -> None:
        """Lay out what a model with this setting reads of them; see `steps_of`."""
        kept = {key_of(segment): segment for segment in segments}
        self.row = {key: row for row, key in enumerate(kept)}
        """Of each segment."""
        steps = [steps_of(segment, reads) for segment in kept.values()]
        steps_S = np.array([len(action) for _, action in steps], np.int64)
        longest = max(1, steps_S.max(initial=0))
        self.observation_SLO = stacked([observation for observation, _ in steps], longest)
        self.action_SLA = stacked([action for _, action in steps], longest)
        self.weight_SL = (np.arange(longest) < steps_S[:, None]).astype(np.float32)

    def rows(self, segments: Sequence[Segment]) -> list[int]:
        """Return where these lie."""
        return [self.row[key_of(segment)] for segment in segments]


class SegmentInputs:
    """`SegmentArrays` on the model's device, as the model reads them."""

    def __init__(self, arrays: SegmentArrays, ensemble: RewardEnsemble) -> None:
        device = ensemble.input_mean.device
        self._inputs = ensemble.inputs(
            torch.from_numpy(arrays.observation_SLO).to(device),
            torch.from_numpy(arrays.action_SLA).to(device),
        )
        self._weight_SL = torch.from_numpy(arrays.weight_SL).to(device)

    def of(self, rows_S: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of `returns_of` for the segments at these places, int64[S]."""
        return *(part[rows_S] for part in self._inputs), self._weight_SL[rows_S]


def part_of(segment: Segment, begin: int, end: int) -> Segment:
    """Return some steps of a segment, counted from its first; it keeps its id, and is held out with it."""
    first, outcome = segment.address.begin, segment.outcome
    if end < len(segment):
        outcome = Outcome(observations={name: array[end] for name, array in segment.observations.items()})
    return replace(
        segment,
        address=replace(segment.address, begin=first + begin, end=first + end),
        observations={name: array[begin:end] for name, array in segment.observations.items()},
        actions=segment.actions[begin:end],
        showing=None,
        outcome=outcome,
    )


def returns_of(ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
    """Return each member's sum of rewards of each segment, in link units, [K, S]."""
    *read, weight_SL = inputs
    return_KS: Tensor = (ensemble.evaluated(*read) * weight_SL).sum(-1)
    return return_KS


def stacked(parts: Sequence[NDArray[Any]], longest: int | None = None) -> NDArray[Any]:
    """Return arrays of different lengths as one, zeros behind the shorter ones; None: as long as the longest."""
    length = max(len(part) for part in parts) if longest is None else longest
    together = np.zeros(
        (len(parts), length, *parts[0].shape[1:]), np.result_type(*{part.dtype for part in parts})
    )
    for row, part in enumerate(parts):
        together[row, : len(part)] = part
    return together
