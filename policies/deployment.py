"""The policy alone, as a robot or a game runs it: flat observations in, actions that the environment takes out.

Axis suffixes: N observation, O number of a flat observation, A axis of an action, K number of a distribution.
"""

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from policies.distributions import ActionDistribution, DiagonalGaussian, MultiCategorical
from policies.networks import ActorCritic


class Deployment(nn.Module):
    """The greedy policy of an `ActorCritic`, without its critic; what normalises observations is part of it.

    It shares the network's tensors. Each row of a batch is answered alone, whatever the number of rows.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, network: ActorCritic, action_space: gym.Space[Any], *, stochastic: bool = False
    ) -> None:
        """Take the policy out of the network.

        Args:
            network: of which only the policy is kept.
            action_space: whose bounds actions are clipped to, if it is a Box.
            stochastic: also return what the distribution of actions is made of, for those who draw by themselves.
        """
        super().__init__()
        self.policy, self.distribution = network.policy, network.distribution
        self.log_scale = network.log_scale
        self.clips = isinstance(action_space, gym.spaces.Box)
        if isinstance(action_space, gym.spaces.Box):
            self.register_buffer("low", torch.as_tensor(action_space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(action_space.high, dtype=torch.float32))
        self.inputs = ("observation",)
        """What `forward` takes, by name."""
        self.outputs = ("action", *(parameters_of(self.distribution) if stochastic else ()))
        """What `forward` returns, by name."""
        self.eval()

    def forward(self, observation_NO: Tensor) -> tuple[Tensor, ...]:
        """Return what `outputs` names, a row for each observation.

        Actions are the most probable ones: int64[N] for Discrete, int64[N, A] for MultiDiscrete, and for Box the mean
        clipped to its bounds, float32[N, A].
        """
        output_NK = self.policy(observation_NO)
        action = self.distribution.mode(output_NK)
        if self.clips:
            action = action.clamp(self.low, self.high)
        parameters = _parameters(self.distribution, output_NK, self.log_scale)
        return (action, *parameters)[: len(self.outputs)]


def parameters_of(distribution: ActionDistribution) -> tuple[str, ...]:
    """Name what a distribution is made of.

    `mean` and `standard_deviation`, float32[N, A], are those of a Gaussian on each axis, before actions are clipped.
    `log_probabilities`, float32[N, K], are those of each choice; the axes of MultiDiscrete lie side by side.
    """
    gaussian = isinstance(distribution, DiagonalGaussian)
    return ("mean", "standard_deviation") if gaussian else ("log_probabilities",)


def _parameters(distribution: ActionDistribution, output_NK: Tensor, log_scale: Tensor) -> tuple[Tensor, ...]:
    if isinstance(distribution, DiagonalGaussian):
        return output_NK, log_scale.exp().expand_as(output_NK)
    sizes = distribution.choices if isinstance(distribution, MultiCategorical) else (output_NK.shape[-1],)
    axes = torch.split(output_NK, list(sizes), -1)
    return (torch.cat([torch.log_softmax(axis, -1) for axis in axes], -1),)
