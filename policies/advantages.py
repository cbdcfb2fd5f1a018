"""How much better an action was than expected.

Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation",
arXiv:1506.02438, equation 16. Axis suffixes: T step, N environment.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """Advantages and the critic's targets, each [T, N], in reward units."""

    advantage_TN: Tensor
    target_TN: Tensor


def over_duration(*, reward_TN: Tensor, duration_TN: Tensor, discount: float) -> tuple[Tensor, Tensor]:
    """Return the discounted reward of each row over its duration, and the discount from its start to its end.

    A row of duration k earns its reward k times and is followed by what comes k steps later.

    Source: Sutton, Precup and Singh 1999, "Between MDPs and semi-MDPs", section 3, equation 9.

    Args:
        reward_TN: reward of each environment step of a row.
        duration_TN: environment steps that the row stands for.
        discount: gamma per environment step, in [0, 1).
    """
    discount_TN = discount ** duration_TN.to(reward_TN.dtype)
    return reward_TN * (1 - discount_TN) / (1 - discount), discount_TN


def gae(
    *,
    reward_TN: Tensor,
    value_TN: Tensor,
    next_value_TN: Tensor,
    terminated_TN: Tensor,
    cut_TN: Tensor,
    discount_TN: Tensor,
    gae_lambda: float,
) -> Advantages:
    """Generalised advantage estimation that is right at every edge of an episode.

    Args:
        reward_TN: reward of each step.
        value_TN: value of the observation before the step.
        next_value_TN: value of the observation that truly followed the step: of the last observation of the
            episode where it was cut, never of the next episode's first one.
        terminated_TN: bool, the step led to a terminal state, whose value is 0.
        cut_TN: bool, the next row does not continue this one: terminated, truncated, or overridden.
        discount_TN: gamma of each row, in [0, 1].
        gae_lambda: lambda, in [0, 1].
    """
    alive_TN = 1.0 - terminated_TN.to(reward_TN.dtype)
    carry_TN = discount_TN * gae_lambda * (1.0 - cut_TN.to(reward_TN.dtype))
    delta_TN = reward_TN + discount_TN * alive_TN * next_value_TN - value_TN
    advantage_TN = torch.empty_like(delta_TN)
    following_N = torch.zeros_like(delta_TN[0])
    for t in reversed(range(len(delta_TN))):
        following_N = delta_TN[t] + carry_TN[t] * following_N
        advantage_TN[t] = following_N
    return Advantages(advantage_TN, advantage_TN + value_TN)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of the values that count; 0 where none does."""
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def standardise(values: Tensor, *, weight: Tensor) -> Tensor:
    """Shift and scale to a weighted mean of 0 and standard deviation of 1.

    Args:
        values: any shape.
        weight: same shape, 0 where a value does not count; those are standardised along.
    """
    mean = weighted_mean(values, weight)
    variance = weighted_mean((values - mean) ** 2, weight)
    return (values - mean) / (variance.sqrt() + 1e-8)
