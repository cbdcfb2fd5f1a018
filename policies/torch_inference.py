"""Acting with torch: for every network that `policies.inference.NumpyPolicy` does not know."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from policies.experience import ObservationArray
from policies.inference import Draw, Weights
from policies.networks import ActorCritic


class TorchPolicy:
    """An `ActorCritic` that acts; its critic is never asked."""

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        seed: int,
        **model_config: Any,
    ) -> None:
        self._network = ActorCritic(observation_space, action_space, **model_config)
        self._generator = torch.Generator().manual_seed(seed)

    def load(self, weights: Weights) -> None:
        """Act by these weights from now on; they are copied."""
        # Arrays that can only be read make torch warn.
        state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        self._network.load_state_dict(state, strict=False)

    @torch.inference_mode()
    def act(self, observation_NO: ObservationArray) -> Draw:
        """Draw an action for each observation."""
        action, log_prob = self._network.act(torch.from_numpy(observation_NO), generator=self._generator)
        return action.numpy(), log_prob.numpy()
