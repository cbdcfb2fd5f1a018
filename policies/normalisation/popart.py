"""Critic targets on one scale while the reward changes (PopArt).

Source: van Hasselt et al. 2016, "Learning values across many orders of magnitude", arXiv:1602.07714,
Algorithm 1. A learned reward changes with each version, and with it the scale of returns; the critic learns
normalised targets, and its last layer is corrected so that its predictions stay what they were.
"""

import torch
from torch import Tensor, nn

from policies.networks import ActorCritic

_SMALLEST_STD = 1e-4


@torch.no_grad()
def update_statistics(network: ActorCritic, *, target_P: Tensor, rate: float) -> None:
    """Move the critic's mean and standard deviation towards the targets', preserving its outputs.

    Args:
        network: changed in place.
        target_P: value targets in reward units, any shape.
        rate: share of the new statistics, in (0, 1]; 1 forgets the old ones.
    """
    # In double: the variance is a small difference of two large numbers.
    target = target_P.double()
    old_mean, old_std = network.value_mean.double(), network.value_std.double()
    old_square = old_std**2 + old_mean**2
    mean = (1 - rate) * old_mean + rate * target.mean()
    square = (1 - rate) * old_square + rate * (target**2).mean()
    std = (square - mean**2).clamp_min(_SMALLEST_STD**2).sqrt()
    last = network.critic[-1]
    assert isinstance(last, nn.Linear)
    last.weight.mul_(old_std / std)
    last.bias.mul_(old_std).add_(old_mean - mean).div_(std)
    network.value_mean.copy_(mean)
    network.value_std.copy_(std)


@torch.no_grad()
def rescale(network: ActorCritic, *, target_P: Tensor) -> None:
    """Set the critic's mean and standard deviation to the targets', and let its outputs move with them.

    For targets of another reward, in whose units the outputs have no meaning: where the rewards differ by a factor and
    a constant, so do their values, and what the critic has learnt of them stays right.

    Args:
        network: changed in place.
        target_P: value targets in the new reward's units, any shape.
    """
    target = target_P.double()
    network.value_mean.copy_(target.mean())
    network.value_std.copy_(target.std(correction=0).clamp_min(_SMALLEST_STD))
