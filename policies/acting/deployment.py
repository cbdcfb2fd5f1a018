"""The policy alone, as a robot or a game runs it: flat observations in, actions that the environment takes out.

Axis suffixes: N observation, O number of a flat observation, H unit of a memory, A axis of an action, K number of a
distribution.
"""

from typing import Any

import gymnasium as gym
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.distributions import ActionDistribution, DiagonalGaussian, MultiCategorical
from policies.networks import ActorCritic
from policies.networks.memory import Memory


class Deployed(nn.Module):
    """What acts on its own: from what `inputs` names to what `outputs` names, tensors with a row each observation."""

    memory: Memory | None
    """What a recurrent policy remembers with."""
    inputs: tuple[str, ...]
    """What `forward` takes, by name."""
    outputs: tuple[str, ...]
    """What `forward` returns, by name; the first one is `action`."""

    def shortfall(self, inputs: list[NDArray[Any]], action: NDArray[Any]) -> NDArray[Any] | None:
        """Return how much worse actions are than the best ones, by what they are chosen by, [N].

        None where they are not chosen among some, but computed.
        """
        raise NotImplementedError


class Deployment(Deployed):
    """The greedy policy of an `ActorCritic`, without its critic; what normalises observations is part of it.

    Each row of a batch is answered alone, whatever the number of rows. A recurrent policy takes and returns what it
    remembers. The network's tensors are shared, not copied.
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
        self.memory, self.policy, self.distribution = network.memory, network.policy, network.distribution
        self.log_scale = network.log_scale
        self.clips = isinstance(action_space, gym.spaces.Box)
        if isinstance(action_space, gym.spaces.Box):
            self.register_buffer("low", torch.as_tensor(action_space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(action_space.high, dtype=torch.float32))
        self.inputs = ("observation",) if self.memory is None else ("observation", "memory")
        self.outputs = (
            "action",
            *(() if self.memory is None else ("next_memory",)),
            *(parameters_of(self.distribution) if stochastic else ()),
        )
        self.eval()

    def see(self, observation_NO: Tensor, memory_NH: Tensor | None = None) -> Tensor:
        """Return what `policy` reads: the observations, or what is remembered after them."""
        if self.memory is None:
            return observation_NO
        assert memory_NH is not None
        return self.memory.step(observation_NO, memory_NH)

    def forward(self, observation_NO: Tensor, memory_NH: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return what `outputs` names, a row for each observation.

        Actions are the most probable ones: int64[N] for Discrete, int64[N, A] for MultiDiscrete, and for Box the mean
        clipped to its bounds, float32[N, A]. A memory is float32[N, H], and zero where an episode begins.
        """
        seen = self.see(observation_NO, memory_NH)
        output_NK = self.policy(seen)
        action = self.distribution.mode(output_NK)
        if self.clips:
            action = action.clamp(self.low, self.high)
        parameters = _parameters(self.distribution, output_NK, self.log_scale)
        remembered = () if self.memory is None else (seen,)
        return (action, *remembered, *parameters)[: len(self.outputs)]

    def shortfall(self, inputs: list[NDArray[Any]], action: NDArray[Any]) -> NDArray[Any] | None:
        """See `Deployed`: in log-probability."""
        if isinstance(self.distribution, DiagonalGaussian):
            return None
        output_NK = self.policy(self.see(*map(torch.from_numpy, inputs)))
        best_N, chosen_N = (
            self.distribution.log_prob(output_NK, self.log_scale, chosen)
            for chosen in (self.distribution.mode(output_NK), torch.from_numpy(action))
        )
        shortfall_N: NDArray[Any] = (best_N - chosen_N).numpy()
        return shortfall_N


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
