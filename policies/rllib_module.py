"""The one adapter between our networks and RLlib: `ActorCritic` as an RLModule.

Its checkpoints load with RLlib's own `RLModule.from_checkpoint`, and RLlib's own runners can act with it.
"""

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor

from policies.networks import ActorCritic


class ActorCriticModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """RLlib's view of the policy; `model_config` holds the keyword arguments of `ActorCritic`."""

    network: ActorCritic

    def setup(self) -> None:
        """Build the networks; called by RLlib."""
        self.network = ActorCritic(self.observation_space, self.action_space, **self.model_config)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        output = self.network.policy(batch[Columns.OBS].flatten(1))
        if not self.network.distribution.learns_scale:
            return {Columns.ACTION_DIST_INPUTS: output}
        scale = self.network.log_scale.expand_as(output)
        return {Columns.ACTION_DIST_INPUTS: torch.cat([output, scale], -1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the critic's value of each observation, [B]."""
        return self.network.value(batch[Columns.OBS].flatten(1))
