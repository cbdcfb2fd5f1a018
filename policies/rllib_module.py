"""The one adapter between our networks and RLlib: `ActorCritic` as an RLModule.

Its checkpoints load with RLlib's own `RLModule.from_checkpoint`, and RLlib's own runners can act with it.
"""

from typing import Any

import gymnasium as gym
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor
from torch.nn.functional import one_hot

from policies.networks import ActorCritic, Context

_MEMORY = "memory"


class ActorCriticModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """RLlib's view of the policy; `model_config` holds the keyword arguments of `ActorCritic`."""

    network: ActorCritic

    def setup(self) -> None:
        """Build the networks; called by RLlib."""
        self.network = ActorCritic(self.observation_space, self.action_space, **self.model_config)
        if isinstance(self.action_space, gym.spaces.MultiDiscrete):
            choices = self.action_space.nvec.tolist()
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(
                space=self.action_space, input_lens=choices
            )

    def get_initial_state(self) -> dict[str, Tensor]:
        """Return what is remembered where an episode begins; nothing without a memory."""
        memory = self.network.memory
        return {} if memory is None else {_MEMORY: torch.zeros(memory.units)}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen = self._see(batch)
        output = self.network.policy(seen)
        if self.network.distribution.learns_scale:
            output = torch.cat([output, self.network.log_scale.expand_as(output)], -1)
        if self.network.memory is None:
            return {Columns.ACTION_DIST_INPUTS: output}
        return {Columns.ACTION_DIST_INPUTS: output, Columns.STATE_OUT: {_MEMORY: seen[:, -1]}}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the critic's value of each observation, [B], or [B, T] of sequences."""
        return self.network.value(self._see(batch))

    def _see(self, batch: dict[str, Any]) -> Tensor:
        """Return what policy and critic read; RLlib shows recurrent policies sequences that lie within an episode."""
        axes = 1 if self.network.memory is None else 2
        parts = _flat_parts(self.observation_space, batch[Columns.OBS], axes)
        observation = torch.cat([part.to(self.network.value_mean.dtype) for part in parts], -1)
        if self.network.memory is None:
            return observation
        begin = torch.zeros(observation.shape[:2], dtype=torch.bool, device=observation.device)
        return self.network.see(observation, Context(batch[Columns.STATE_IN][_MEMORY], begin))


def _flat_parts(space: gym.Space[Any], observation: Any, axes: int) -> list[Tensor]:
    """Lay a batch with so many leading axes flat, part by part, as `policies.spaces` does with single observations."""
    if isinstance(space, gym.spaces.Dict):
        pairs = [(own, observation[key]) for key, own in space.spaces.items()]
        return [part for own, inside in pairs for part in _flat_parts(own, inside, axes)]
    if isinstance(space, gym.spaces.Tuple):
        pairs = list(zip(space.spaces, observation, strict=True))
        return [part for own, inside in pairs for part in _flat_parts(own, inside, axes)]
    if isinstance(space, gym.spaces.Discrete):
        return [one_hot(observation.long() - int(space.start), int(space.n))]
    flat = observation.reshape(*observation.shape[:axes], -1)
    if isinstance(space, gym.spaces.MultiDiscrete):
        choices = zip(flat.long().unbind(-1), space.nvec.flat, space.start.flat, strict=True)
        return [one_hot(chosen - int(start), int(options)) for chosen, options, start in choices]
    return [flat]
