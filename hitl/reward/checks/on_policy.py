"""What a version of the reward model says of the policy's newest steps, held against those that people judged.

Axis suffixes: K member, P step, O number of a flat observation.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Segment
from hitl.reward.checks.alarms import OnPolicy
from hitl.reward.evidence.rows import Observations, steps_of
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import Reads

_LEAST_DEVIATION = 1e-6
_MARGIN = 0.1
"""Of the range of known rewards: a policy that does the best of what is known, time after time, is just above it."""

StepArrays = tuple[Observations, NDArray[Any]]
"""Observations [P, O], as the model reads them (see `InputSpace`), and the actions taken there [P, ...]."""


class JudgedSteps:
    """The steps that people said anything of; the order in which it came changes nothing."""

    def __init__(self, most: int, reads: Reads = "state_action") -> None:
        """Begin without any.

        Args:
            most: steps that are looked at, spread over all of them.
            reads: what the model does.
        """
        self._most, self._reads = most, reads
        self._segments: dict[tuple[str, str], Segment] = {}
        self._arrays: StepArrays | None = None

    def take(self, segments: Iterable[Segment]) -> None:
        """Take the segments that a statement is about."""
        for segment in segments:
            key = segment.address.run_id, segment.segment_id
            if key not in self._segments:
                self._segments[key], self._arrays = segment, None

    def arrays(self) -> StepArrays | None:
        """Return the steps; None where there are none."""
        if self._arrays is None and self._segments:
            ordered = [self._segments[key] for key in sorted(self._segments)]
            steps = [steps_of(segment, self._reads) for segment in ordered]
            observation = np.concatenate([seen for seen, _ in steps])
            action = np.concatenate([taken for _, taken in steps])
            count = len(observation)
            rows = np.linspace(0, count - 1, min(self._most, count)).round().astype(np.int64)
            self._arrays = observation[rows], action[rows]
        return self._arrays


@torch.no_grad()
def on_policy(
    ensemble: RewardEnsemble, policy: StepArrays, judged: StepArrays, probe: tuple[Tensor, Tensor]
) -> OnPolicy:
    """Hold the policy's steps against those that people judged, and their rewards also against the probe set's."""
    new_P, new_deviation = _said(ensemble, policy)
    old_P, old_deviation = _said(ensemble, judged)
    known_P = np.concatenate([old_P, ensemble.reward(*probe).cpu().numpy()])
    limit = known_P.max() + _MARGIN * (known_P.max() - known_P.min())
    return OnPolicy(
        predicted=float(new_P.mean()),
        disagreement=new_deviation / max(old_deviation, _LEAST_DEVIATION),
        saturation=float((new_P > limit).mean()),
    )


def _said(ensemble: RewardEnsemble, steps: StepArrays) -> tuple[NDArray[Any], float]:
    """Return the reward of each step, and the mean deviation of the members from their mean."""
    device = ensemble.input_mean.device
    reward_KP = ensemble.member_rewards(*(torch.from_numpy(part).to(device) for part in steps))
    deviation = float(reward_KP.double().std(0, correction=0).mean())
    return ensemble.conservatism.combined(reward_KP).cpu().numpy(), deviation
