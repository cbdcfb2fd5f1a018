"""The policy and its critic.

Initialisation and sizes follow "The 37 implementation details of PPO" (Huang et al. 2022), details 2 and 13:
orthogonal weights, zero biases, a nearly uniform policy at the start, and by default separate networks for actor and
critic.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor, nn

from policies import distributions
from policies.networks.encoders import make_encoder
from policies.networks.layers import mlp, orthogonal
from policies.networks.memory import Context, Memory
from policies.networks.normaliser import Normaliser
from policies.normalisation.moments import Moments


class Heads(NamedTuple):
    """What policy and critic put out."""

    output: Tensor
    """The policy's, which its distribution reads."""
    value: Tensor
    """The critic's, normalised."""


class ActorCritic(nn.Module):
    """A policy and a critic: two networks of the same shape, or one with two heads.

    Both read observations laid flat, as `policies.spaces` does; where the policy is recurrent, both read what `memory`
    makes of them. The critic's output is normalised; `value` undoes it with `value_mean` and `value_std`, which
    `policies.normalisation.popart` keeps at the targets' mean and standard deviation.

    The methods that take P have no memory: give them what `see` returns.
    """

    value_mean: Tensor
    value_std: Tensor

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
        shared: bool = False,
        recurrent: int | None = None,
        normalise_observations: bool = False,
        initial_log_std: float = 0.0,
        **encoding: Any,
    ) -> None:
        """Build it.

        Args:
            observation_space: before observations are laid flat.
            action_space: one that `policies.spaces.is_action_space` knows.
            hidden: units of each layer between encoder and heads.
            activation: tanh or relu, between them.
            shared: the critic stands on the policy's encoder and hidden layers instead of its own.
            recurrent: units of a memory between encoder and hidden layers, common to both; None: none.
            normalise_observations: by running statistics, which `observe` is given.
            initial_log_std: of Box actions.
            **encoding: keyword arguments of `policies.networks.encoders.make_encoder`.

        Raises:
            TypeError: there is no encoder for the observations, or no policy for the actions.
            ValueError: the settings do not fit the observations.
        """
        super().__init__()
        self.distribution = distributions.for_space(action_space)
        normaliser = [Normaliser(observation_space)] if normalise_observations else []

        def encode() -> tuple[list[nn.Module], int]:
            encoder, size = make_encoder(observation_space, activation=activation, **encoding)
            return [*normaliser, *encoder], size

        self.memory: Memory | None = None
        if recurrent:
            encoder, size = encode()
            self.memory = Memory(encoder, inputs=size, units=recurrent)

        def network(outputs: int, gain: float) -> nn.Sequential:
            encoder, size = ([], recurrent) if recurrent else encode()
            return nn.Sequential(*encoder, *mlp(size, hidden, outputs, activation=activation, last_gain=gain))

        self._shared = shared
        self.policy = network(self.distribution.output_size, 0.01)
        if shared:
            *common, last = self.policy
            assert isinstance(last, nn.Linear)
            self.critic = nn.Sequential(*common, orthogonal(nn.Linear(last.in_features, 1), 1.0))
        else:
            self.critic = network(1, 1.0)
        scales = self.distribution.output_size if self.distribution.learns_scale else 0
        self.log_scale = nn.Parameter(torch.full((scales,), initial_log_std))
        self.register_buffer("value_mean", torch.zeros(()))
        self.register_buffer("value_std", torch.ones(()))

    def observe(self, observation_PO: Tensor) -> None:
        """Take observations into the statistics by which they are normalised, if they are."""
        for moments in self._observed():
            moments.take(observation_PO)

    @property
    def has_observed(self) -> bool:
        """Whether there are statistics wherever observations are normalised."""
        return all(float(moments.count) for moments in self._observed())

    def _observed(self) -> Iterator[Moments]:
        return (module.moments for module in self.modules() if isinstance(module, Normaliser))

    def see(self, observation: Tensor, context: Context | None = None) -> Tensor:
        """Return what policy and critic read: the observations, or [S, L, H] of sequences with their context."""
        if self.memory is None:
            return observation
        assert context is not None
        seen_SLH: Tensor = self.memory(observation, context)
        return seen_SLH

    def forward(self, observation: Tensor, context: Context | None = None) -> "Heads":
        """Return what both put out, with what they share computed once."""
        seen = self.see(observation, context)
        if not self._shared:
            return Heads(self.policy(seen), self.critic(seen)[..., 0])
        common = self.policy[:-1](seen)
        return Heads(self.policy[-1](common), self.critic[-1](common)[..., 0])

    def act(self, seen_PF: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw an action for each observation; returns actions and their log-probabilities."""
        output = self.policy(seen_PF)
        action = self.distribution.sample(output, self.log_scale, generator)
        return action, self.distribution.log_prob(output, self.log_scale, action)

    def act_greedily(self, seen_PF: Tensor) -> Tensor:
        """Return the most probable action for each observation."""
        return self.distribution.mode(self.policy(seen_PF))

    def evaluate(self, seen_PF: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the actions and the policy's entropies, each [P]."""
        output = self.policy(seen_PF)
        return (
            self.distribution.log_prob(output, self.log_scale, action),
            self.distribution.entropy(output, self.log_scale),
        )

    def normalised_value(self, seen_PF: Tensor) -> Tensor:
        """Return the critic's own output, [P]."""
        value: Tensor = self.critic(seen_PF)
        return value[..., 0]

    def value(self, seen_PF: Tensor) -> Tensor:
        """Return the expected discounted return, [P], in reward units."""
        return self.normalised_value(seen_PF) * self.value_std + self.value_mean

    def normalise(self, value_P: Tensor) -> Tensor:
        """Bring values in reward units to the scale of `normalised_value`."""
        return (value_P - self.value_mean) / self.value_std

    def policy_parameters(self) -> list[nn.Parameter]:
        """Return what the policy's distribution depends on; where layers are shared, the critic's, too."""
        memory = [] if self.memory is None else self.memory.parameters()
        return [*memory, *self.policy.parameters(), self.log_scale]
