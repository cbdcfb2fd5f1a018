"""The reward of a step: a weighted sum of named sources.

Each source is a function of a whole time-major batch, so a recurrent or sequence-level reward fits. The
learner evaluates the sum on its own device, for the whole batch at once, right before the advantages.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from policies.steps import Steps


class RewardSource(Protocol):
    """One named part of the reward."""

    def __call__(self, steps: Steps) -> Tensor:
        """Return the reward of each step, [T, N]."""
        ...


@runtime_checkable
class ObservingSource(RewardSource, Protocol):
    """One that depends on what was seen before; to judge steps changes nothing."""

    def observe(self, steps: Steps) -> None:
        """Take in a batch, after it was learnt from."""
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
            means[name] = steps.counted(part).mean()
    return total, means
