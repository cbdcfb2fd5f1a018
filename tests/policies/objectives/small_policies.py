"""A small policy and a made-up batch in double precision, and its distribution by hand, number by number."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from policies.batch import Batch
from policies.networks import ActorCritic
from policies.settings import UpdateSettings

B, OBSERVATION = 20, 3
OBSERVATION_SPACE = gym.spaces.Box(-1.0, 1.0, (OBSERVATION,), np.float32)
DISCRETE, BOX = gym.spaces.Discrete(3), gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
MULTI_DISCRETE = gym.spaces.MultiDiscrete([2, 3])
SPACES: dict[str, gym.Space[Any]] = {"discrete": DISCRETE, "multi discrete": MULTI_DISCRETE, "box": BOX}


def settings(**changes: Any) -> UpdateSettings:
    numbers: dict[str, Any] = {
        "discount": 0.9,
        "gae_lambda": 0.9,
        "clip": 0.2,
        "epochs": 3,
        "minibatch_size": 5,
        "value_coefficient": 0.5,
        "entropy_coefficient": 0.0,
        "max_gradient_norm": 0.5,
    }
    return UpdateSettings(**(numbers | changes))


def policy(space: gym.Space[Any], seed: int = 0) -> ActorCritic:
    """A policy far from uniform, in double precision."""
    torch.manual_seed(seed)
    network = ActorCritic(OBSERVATION_SPACE, space, hidden=(4,)).double()
    with torch.no_grad():
        for parameter in network.policy_parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return network


def batch_of(network: ActorCritic, space: gym.Space[Any], seed: int = 1) -> Batch:
    """Steps of a policy near this one; some do not count."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    observation = randn(B, OBSERVATION)
    with torch.no_grad():
        action, log_prob = network.act(observation, generator=generator)
    return Batch(
        observation_BO=observation,
        action_BA=action,
        behaviour_log_prob_B=log_prob + 0.3 * randn(B),
        advantage_B=randn(B),
        target_B=randn(B),
        weight_B=(torch.arange(B) % 4 != 3).double(),
    )


def in_single_precision(batch: Batch) -> Batch:
    parts = [part.float() if part is not None and part.is_floating_point() else part for part in batch]
    return Batch(*parts)


def log_prob(space: gym.Space[Any], output: Tensor, log_scale: Tensor, action: Tensor) -> Tensor:
    """Of one action."""
    if space is MULTI_DISCRETE:
        axes = zip((output[:2], output[2:]), action, strict=True)
        return sum((log_prob(DISCRETE, part, log_scale, a) for part, a in axes), torch.zeros(()))
    if space is DISCRETE:
        return (output[action].exp() / sum(x.exp() for x in output)).log()
    total = torch.zeros((), dtype=torch.float64)
    for mean, log_sigma, a in zip(output, log_scale, action, strict=True):
        sigma = log_sigma.exp()
        density = (-((a - mean) ** 2) / (2 * sigma**2)).exp() / (sigma * math.sqrt(2 * math.pi))
        total = total + density.log()
    return total


def entropy(space: gym.Space[Any], output: Tensor, log_scale: Tensor) -> Tensor:
    """Of the policy in one state."""
    if space is MULTI_DISCRETE:
        return entropy(DISCRETE, output[:2], log_scale) + entropy(DISCRETE, output[2:], log_scale)
    if space is DISCRETE:
        chances = [x.exp() / sum(y.exp() for y in output) for x in output]
        return -sum((p * p.log() for p in chances), torch.zeros(()))
    return sum((0.5 * (2 * math.pi * math.e * s.exp() ** 2).log() for s in log_scale), torch.zeros(()))


def divergence(
    space: gym.Space[Any], output: Tensor, log_scale: Tensor, other: Tensor, other_log_scale: Tensor
) -> Tensor:
    """KL(first || other) in one state."""
    if space is MULTI_DISCRETE:
        return sum(
            (
                divergence(DISCRETE, output[part], log_scale, other[part], other_log_scale)
                for part in (slice(2), slice(2, 5))
            ),
            torch.zeros(()),
        )
    if space is DISCRETE:
        p = [x.exp() / sum(y.exp() for y in output) for x in output]
        q = [x.exp() / sum(y.exp() for y in other) for x in other]
        return sum((a * (a / b).log() for a, b in zip(p, q, strict=True)), torch.zeros(()))
    total = torch.zeros((), dtype=torch.float64)
    for mean, log_sigma, mean_2, log_sigma_2 in zip(output, log_scale, other, other_log_scale, strict=True):
        sigma, sigma_2 = log_sigma.exp(), log_sigma_2.exp()
        total = total + ((sigma_2 / sigma).log() + (sigma**2 + (mean - mean_2) ** 2) / (2 * sigma_2**2) - 0.5)
    return total
