"""Acting with torch: for every network that `policies.acting.inference.NumpyPolicy` does not know."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from policies.acting.inference import Draw, Weights
from policies.experience import FloatArray, ObservationArray
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
        self.memory_units = self._network.memory.units if self._network.memory else 0
        self._generator = torch.Generator().manual_seed(seed)

    def load(self, weights: Weights) -> None:
        """Act by these weights from now on; they are copied."""
        # Arrays that can only be read make torch warn.
        state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        self._network.load_state_dict(state, strict=False)

    @torch.inference_mode()
    def act(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> Draw:
        """Draw an action for each observation; a recurrent policy changes `memory_NH` in place."""
        action, log_prob = self._network.act(self._seen(observation_NO, memory_NH), generator=self._generator)
        return action.numpy(), log_prob.numpy()

    @torch.inference_mode()
    def log_probs(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> FloatArray:
        """Return the log-probability of each Discrete action, float32[N, A]; memory is changed as by `act`."""
        output_NA = self._network.policy(self._seen(observation_NO, memory_NH))
        log_prob_NA: FloatArray = torch.log_softmax(output_NA, -1).numpy()
        return log_prob_NA

    def _seen(self, observation_NO: ObservationArray, memory_NH: FloatArray | None) -> torch.Tensor:
        seen = torch.from_numpy(observation_NO)
        if self._network.memory is None:
            return seen
        assert memory_NH is not None
        seen = self._network.memory.step(seen, torch.from_numpy(memory_NH))
        memory_NH[:] = seen.numpy()
        return seen
