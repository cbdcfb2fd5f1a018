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

from policies.networks import ActorCritic


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

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        output = self.network.policy(self._flat(batch))
        if not self.network.distribution.learns_scale:
            return {Columns.ACTION_DIST_INPUTS: output}
        scale = self.network.log_scale.expand_as(output)
        return {Columns.ACTION_DIST_INPUTS: torch.cat([output, scale], -1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the critic's value of each observation, [B]."""
        return self.network.value(self._flat(batch))

    def _flat(self, batch: dict[str, Any]) -> Tensor:
        parts = _flat_parts(self.observation_space, batch[Columns.OBS])
        return torch.cat([part.to(self.network.value_mean.dtype) for part in parts], -1)


def _flat_parts(space: gym.Space[Any], observation: Any) -> list[Tensor]:
    """Lay a batch flat, part by part, as `policies.spaces` does with single observations."""
    if isinstance(space, gym.spaces.Dict):
        return [part for key, own in space.spaces.items() for part in _flat_parts(own, observation[key])]
    if isinstance(space, gym.spaces.Tuple):
        pairs = zip(space.spaces, observation, strict=True)
        return [part for own, inside in pairs for part in _flat_parts(own, inside)]
    if isinstance(space, gym.spaces.Discrete):
        return [one_hot(observation.long() - int(space.start), int(space.n))]
    if isinstance(space, gym.spaces.MultiDiscrete):
        axes = zip(observation.long().flatten(1).unbind(-1), space.nvec.flat, space.start.flat, strict=True)
        return [one_hot(chosen - int(start), int(options)) for chosen, options, start in axes]
    return [observation.reshape(len(observation), -1)]
