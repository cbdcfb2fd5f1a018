"""The policy and its critic as plain `nn.Module`s.

Initialisation and sizes follow "The 37 implementation details of PPO" (Huang et al. 2022), details 2 and 13:
orthogonal weights, zero biases, a nearly uniform policy at the start, separate networks for actor and critic.
"""

import math
from collections.abc import Sequence

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from policies import distributions

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int, *, activation: str, last_gain: float
) -> nn.Sequential:
    """Build a multi-layer perceptron with orthogonal weights and zero biases."""
    layers: list[nn.Module] = []
    sizes = [inputs, *hidden]
    for size, following in zip(sizes, [*hidden, outputs], strict=True):
        linear = nn.Linear(size, following)
        last = len(layers) == 2 * len(hidden)
        nn.init.orthogonal_(linear.weight, last_gain if last else math.sqrt(2))
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def flat_size(space: gym.Space[object]) -> int:
    """Return how many numbers an observation has.

    Raises:
        TypeError: the space is no Box.
    """
    if not isinstance(space, gym.spaces.Box):
        raise TypeError(f"no encoder for the observation space {space}; Box works")
    return int(np.prod(space.shape))


class ActorCritic(nn.Module):
    """A policy and a critic, two networks of the same shape.

    The critic's output is normalised; `value` undoes it with `value_mean` and `value_std`, which
    `policies.popart` keeps at the targets' mean and standard deviation.
    """

    value_mean: Tensor
    value_std: Tensor

    def __init__(
        self,
        observation_space: gym.Space[object],
        action_space: gym.Space[object],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.distribution = distributions.for_space(action_space)
        size = flat_size(observation_space)
        self.policy = mlp(size, hidden, self.distribution.output_size, activation=activation, last_gain=0.01)
        self.critic = mlp(size, hidden, 1, activation=activation, last_gain=1.0)
        scale = torch.zeros(self.distribution.output_size if self.distribution.learns_scale else 0)
        self.log_scale = nn.Parameter(scale)
        self.register_buffer("value_mean", torch.zeros(()))
        self.register_buffer("value_std", torch.ones(()))

    def act(
        self, observation_PO: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw an action for each observation; returns actions and their log-probabilities."""
        output = self.policy(observation_PO)
        action = self.distribution.sample(output, self.log_scale, generator)
        return action, self.distribution.log_prob(output, self.log_scale, action)

    def act_greedily(self, observation_PO: Tensor) -> Tensor:
        """Return the most probable action for each observation."""
        return self.distribution.mode(self.policy(observation_PO))

    def evaluate(self, observation_PO: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the actions and the policy's entropies, each [P]."""
        output = self.policy(observation_PO)
        return (
            self.distribution.log_prob(output, self.log_scale, action),
            self.distribution.entropy(output, self.log_scale),
        )

    def normalised_value(self, observation_PO: Tensor) -> Tensor:
        """Return the critic's own output, [P]."""
        value: Tensor = self.critic(observation_PO)
        return value[..., 0]

    def value(self, observation_PO: Tensor) -> Tensor:
        """Return the expected discounted return, [P], in reward units."""
        return self.normalised_value(observation_PO) * self.value_std + self.value_mean

    def normalise(self, value_P: Tensor) -> Tensor:
        """Bring values in reward units to the scale of `normalised_value`."""
        return (value_P - self.value_mean) / self.value_std

    def policy_parameters(self) -> list[nn.Parameter]:
        """Return what the policy's distribution depends on."""
        return [*self.policy.parameters(), self.log_scale]
