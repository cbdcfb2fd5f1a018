"""Distributions over actions, as pure functions of what the policy network puts out.

One for each kind of action space; `for_space` chooses. A log-probability is a sum over the action's axes.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import torch
from torch import Tensor

from policies.spaces import ACTION_SPACES, is_action_space


class ActionDistribution(Protocol):
    """How a policy network's output becomes actions; P stands for any leading axes."""

    @property
    def output_size(self) -> int:
        """Numbers that the policy network puts out for one action."""
        ...

    @property
    def learns_scale(self) -> bool:
        """Whether the network has a learnt log standard deviation beside its output."""
        ...

    def sample(self, output: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw actions: int64[P], int64[P, A] or float32[P, A]."""
        ...

    def mode(self, output: Tensor) -> Tensor:
        """Return the most probable actions: what a greedy policy does."""
        ...

    def log_prob(self, output: Tensor, log_scale: Tensor, action: Tensor) -> Tensor:
        """Return the log-probability (density for Box) of actions, [P]."""
        ...

    def entropy(self, output: Tensor, log_scale: Tensor) -> Tensor:
        """Return the entropy in nats, [P]."""
        ...

    def divergence(
        self, output: Tensor, log_scale: Tensor, other_output: Tensor, other_log_scale: Tensor
    ) -> Tensor:
        """Return KL(this || other) in nats, [P]."""
        ...


@dataclass(frozen=True, slots=True)
class Categorical:
    """Discrete actions; the output holds unnormalised log-probabilities."""

    output_size: int
    learns_scale: bool = False

    def sample(self, output: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw actions, int64[P]: the smallest of exponential waiting times with these rates."""
        waiting = torch.empty_like(output).exponential_(generator=generator)
        return (output - waiting.log()).argmax(-1)

    def mode(self, output: Tensor) -> Tensor:
        """Return the most probable actions, int64[P]."""
        return output.argmax(-1)

    def log_prob(self, output: Tensor, log_scale: Tensor, action: Tensor) -> Tensor:
        """Return log-probabilities, [P]."""
        return torch.log_softmax(output, -1).gather(-1, action[..., None])[..., 0]

    def entropy(self, output: Tensor, log_scale: Tensor) -> Tensor:
        """Return entropies in nats, [P]."""
        log_prob = torch.log_softmax(output, -1)
        return -(log_prob.exp() * log_prob).sum(-1)

    def divergence(
        self, output: Tensor, log_scale: Tensor, other_output: Tensor, other_log_scale: Tensor
    ) -> Tensor:
        """Return KL(this || other) in nats, [P]."""
        log_prob, other = torch.log_softmax(output, -1), torch.log_softmax(other_output, -1)
        return (log_prob.exp() * (log_prob - other)).sum(-1)


@dataclass(frozen=True, slots=True)
class MultiCategorical:
    """MultiDiscrete actions: a choice on each axis, drawn apart; the outputs of `Categorical` lie side by side."""

    choices: tuple[int, ...]
    """Options on each axis."""
    learns_scale: bool = False

    @property
    def output_size(self) -> int:
        """Options of all axes together."""
        return sum(self.choices)

    def _axes(self, output: Tensor) -> Iterator[tuple[Categorical, Tensor]]:
        return zip(map(Categorical, self.choices), torch.split(output, list(self.choices), -1), strict=True)

    def sample(self, output: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw actions, int64[P, A]."""
        return torch.stack([kind.sample(part, log_scale, generator) for kind, part in self._axes(output)], -1)

    def mode(self, output: Tensor) -> Tensor:
        """Return the most probable actions, int64[P, A]."""
        return torch.stack([kind.mode(part) for kind, part in self._axes(output)], -1)

    def log_prob(self, output: Tensor, log_scale: Tensor, action: Tensor) -> Tensor:
        """Return log-probabilities, [P]."""
        axes = zip(self._axes(output), action.unbind(-1), strict=True)
        return _sum(kind.log_prob(part, log_scale, chosen) for (kind, part), chosen in axes)

    def entropy(self, output: Tensor, log_scale: Tensor) -> Tensor:
        """Return entropies in nats, [P]."""
        return _sum(kind.entropy(part, log_scale) for kind, part in self._axes(output))

    def divergence(
        self, output: Tensor, log_scale: Tensor, other_output: Tensor, other_log_scale: Tensor
    ) -> Tensor:
        """Return KL(this || other) in nats, [P]."""
        axes = zip(self._axes(output), torch.split(other_output, list(self.choices), -1), strict=True)
        return _sum(kind.divergence(part, log_scale, other, other_log_scale) for (kind, part), other in axes)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


@dataclass(frozen=True, slots=True)
class DiagonalGaussian:
    """Box actions; the output is the mean, the scale does not depend on the state.

    Actions are not squashed: the environment's side clips them to the bounds, and log-probabilities are those
    of the unclipped action.
    """

    output_size: int
    learns_scale: bool = True

    def sample(self, output: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw actions, float32[P, A]."""
        noise = torch.randn(output.shape, generator=generator, device=output.device, dtype=output.dtype)
        return output + log_scale.exp() * noise

    def mode(self, output: Tensor) -> Tensor:
        """Return the means, float32[P, A]."""
        return output

    def log_prob(self, output: Tensor, log_scale: Tensor, action: Tensor) -> Tensor:
        """Return log-densities, [P]."""
        z = (action - output) * torch.exp(-log_scale)
        return (-0.5 * z * z - log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, output: Tensor, log_scale: Tensor) -> Tensor:
        """Return entropies in nats, [P]."""
        per_axis = log_scale + 0.5 * math.log(2 * math.pi * math.e)
        return per_axis.sum(-1).expand(output.shape[:-1])

    def divergence(
        self, output: Tensor, log_scale: Tensor, other_output: Tensor, other_log_scale: Tensor
    ) -> Tensor:
        """Return KL(this || other) in nats, [P]."""
        wider = other_log_scale - log_scale
        distance = (output - other_output) * torch.exp(-other_log_scale)
        return (wider + 0.5 * (torch.exp(-2 * wider) + distance * distance - 1)).sum(-1)


def for_space(space: gym.Space[Any]) -> ActionDistribution:
    """Choose the distribution for an action space.

    Raises:
        TypeError: there is no policy for it.
    """
    if not is_action_space(space):
        raise TypeError(f"no policy for the action space {space}; {ACTION_SPACES} work")
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, gym.spaces.MultiDiscrete):
        return MultiCategorical(tuple(space.nvec.tolist()))
    assert isinstance(space, gym.spaces.Box)
    return DiagonalGaussian(int(space.shape[0]))
