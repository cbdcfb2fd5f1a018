"""The reward of a step: a weighted sum of named sources.

Each source is a function of a whole time-major batch, so a recurrent or sequence-level reward fits. The
learner evaluates the sum on its own device, for the whole batch at once, right before the advantages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from policies.advantages import weighted_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What a reward source may look at, time-major and on the learner's device."""

    observation_TNO: Tensor
    action_TNA: Tensor
    next_observation_TNO: Tensor
    """What truly followed the step, also where the episode was cut."""
    cut_TN: Tensor
    """The next row belongs to another episode."""
    environment_reward_TN: Tensor | None
    """Only in a run whose reward sources name the environment."""
    counts_TN: Tensor | None = None
    """1 where the row stands for a time, 0 where its duration is 0; only where there is such a row."""

    def mean(self, value_TN: Tensor) -> Tensor:
        """Return the mean over the rows that count."""
        return value_TN.mean() if self.counts_TN is None else weighted_mean(value_TN, self.counts_TN)


class RewardSource(Protocol):
    """One named part of the reward."""

    def __call__(self, steps: Steps) -> Tensor:
        """Return the reward of each step, [T, N]."""
        ...


def environment_reward(steps: Steps) -> Tensor:
    """Return the environment's own reward.

    Raises:
        ValueError: the rollouts do not carry it.
    """
    if steps.environment_reward_TN is None:
        raise ValueError("the environment's reward is a source of this run, but its rollouts do not carry it")
    return steps.environment_reward_TN


def weighted_sum(
    sources: Mapping[str, RewardSource], weights: Mapping[str, float], steps: Steps
) -> tuple[Tensor, dict[str, Tensor]]:
    """Evaluate every source whose weight is not 0.

    Returns:
        The weighted sum, [T, N], and each weighted source's mean.
    """
    total = torch.zeros(steps.cut_TN.shape, device=steps.cut_TN.device)
    means: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight:
            part = weight * sources[name](steps)
            total += part
            means[name] = steps.mean(part)
    return total, means
