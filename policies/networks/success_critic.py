"""How likely a step is to lead to success: a network over observations and actions.

Axis suffixes: P any leading axis, F feature of an action.
"""

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from policies.networks.actor_critic import ActorCritic
from policies.networks.encoders import make_encoder
from policies.networks.layers import mlp, one_hot
from policies.networks.normaliser import Normaliser

_AT_FIRST = 0.05
"""Success that an untrained critic expects, roughly: what leads to no success that is known is a risk."""
_LAST_GAIN = 0.1


class SuccessCritic(nn.Module):
    """A critic with the policy's encoder and hidden layers, of its own weights, that reads the action beside them."""

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
        """Build it by the keyword arguments of `ActorCritic`, of which `shared` and `initial_log_std` say nothing here.

        Raises:
            TypeError: there is no encoder for the observations.
            ValueError: it is to be recurrent, or the settings do not fit the observations.
        """
        super().__init__()
        if recurrent:
            raise ValueError("a critic of single steps remembers nothing; set no recurrent units")
        self._action_space = action_space
        normaliser = [Normaliser(observation_space)] if normalise_observations else []
        encoder, size = make_encoder(observation_space, activation=activation, **encoding)
        self.encoder = nn.Sequential(*normaliser, *encoder)
        actions = int(gym.spaces.flatdim(action_space))
        self.head = mlp(size + actions, hidden, 1, activation=activation, last_gain=_LAST_GAIN)
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, math.log(_AT_FIRST / (1 - _AT_FIRST)))

    def read(self, action_PA: Tensor) -> Tensor:
        """Return actions as the network reads them, float32[P, F]: choices as one-hot, others within their bounds."""
        space = self._action_space
        if isinstance(space, gym.spaces.Discrete):
            return one_hot(action_PA, int(space.n)).float()
        if isinstance(space, gym.spaces.MultiDiscrete):
            return one_hot(action_PA, space.nvec.tolist()).float()
        assert isinstance(space, gym.spaces.Box)
        low, high = (torch.from_numpy(bound).to(action_PA) for bound in (space.low, space.high))
        # The environment takes the nearest action within its bounds.
        return action_PA.clamp(low, high)

    def forward(self, observation_PO: Tensor, action_PF: Tensor) -> Tensor:
        """Return the log-odds of success, [P], of actions as `read` returns them."""
        features_PF = torch.cat([self.encoder(observation_PO), action_PF], -1)
        log_odds_P1: Tensor = self.head(features_PF)
        return log_odds_P1[..., 0]

    def success(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return the discounted probability of success, [P], of flat observations and actions."""
        log_odds_P: Tensor = self(observation_PO, self.read(action_PA))
        return log_odds_P.sigmoid()

    @torch.no_grad()
    def see_as(self, policy: ActorCritic) -> None:
        """Normalise observations as a policy of the same settings does."""
        pairs = zip(_normalisers(self), _normalisers(policy), strict=True)
        for own, known in pairs:
            own.load_state_dict(known.state_dict())


def _normalisers(network: nn.Module) -> list[Normaliser]:
    return [module for module in network.modules() if isinstance(module, Normaliser)]
