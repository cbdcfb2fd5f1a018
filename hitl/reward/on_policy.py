"""What a version of the reward model says of the policy's newest steps, held against those that people judged.

Axis suffixes: K member, S segment, L its step, P step, O number of a flat observation.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Segment
from hitl.reward.alarms import OnPolicy
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.evidence.rows import Observations, flat_observations
from policies.experience import Rollout

_LEAST_DEVIATION = 1e-6
_MARGIN = 0.1
"""Of the range of known rewards: a policy that does the best of what is known, time after time, is just above it."""

StepArrays = tuple[Observations, NDArray[Any]]
"""Flat observations [P, O], and the actions taken there [P, ...]."""


class JudgedSteps:
    """The steps that people said anything of; the order in which it came changes nothing."""

    def __init__(self, most: int) -> None:
        """Begin without any; `most` steps are looked at, spread over all of them."""
        self._most = most
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
            observation = np.concatenate([flat_observations(segment) for segment in ordered])
            action = np.concatenate([np.asarray(segment.actions) for segment in ordered])
            self._arrays = _spread((observation, action), np.arange(len(observation)), self._most)
        return self._arrays


def steps_of(rollouts: Iterable[Rollout], most: int) -> StepArrays:
    """Return the steps of rollouts that had an effect, or `most` of them, spread evenly."""
    told = list(rollouts)
    observation = np.concatenate([r.observation_TNO[:-1].reshape(r.steps, -1) for r in told])
    action = np.concatenate([r.action_TNA.reshape(r.steps, *r.action_TNA.shape[2:]) for r in told])
    counted = np.flatnonzero(np.concatenate([r.duration_TN.ravel() for r in told]))
    return _spread((observation, action), counted, most)


def _spread(steps: StepArrays, rows: NDArray[np.int64], most: int) -> StepArrays:
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]
    return steps[0][chosen], steps[1][chosen]


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
