"""PPO with an adaptive penalty for moving: the ratio's surrogate less beta times the KL from the policy before.

Source: Schulman et al. 2017, "Proximal policy optimization algorithms", arXiv:1707.06347, section 4, equation 8.
The KL is exact, and from the policy before the update, which with overlapped sampling is a little newer than
the one that acted; the ratio is to the one that acted.
"""

from typing import Any

import torch
from torch import Tensor

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives.first_order import FirstOrder, PolicyOnBatch
from policies.objectives.penalties import Penalties
from policies.settings import UpdateSettings

_FAR = 1.5
_FURTHEST = 2.0**10
"""The coefficient stays within this factor of where it began, so that it is back within ten updates."""


def ratio_surrogate(
    *, log_prob_B: Tensor, behaviour_log_prob_B: Tensor, advantage_B: Tensor, weight_B: Tensor
) -> Tensor:
    """The advantage weighted by probability ratios, equation 6, negated; the arguments are those of `ppo_clip`."""
    return -weighted_mean((log_prob_B - behaviour_log_prob_B).exp() * advantage_B, weight_B)


def adapted(coefficient: Tensor, *, divergence: Tensor, target: float) -> Tensor:
    """Return the next coefficient: half where the policy moved too little, double where too far; scalars."""
    factor = torch.ones_like(coefficient)
    factor = torch.where(divergence < target / _FAR, 0.5, factor)
    return coefficient * torch.where(divergence > target * _FAR, 2.0, factor)


class PPOAdaptiveKL(FirstOrder):
    """PPO with an adaptive KL penalty; its coefficient is state."""

    def __init__(self, settings: UpdateSettings, penalties: Penalties) -> None:
        super().__init__(settings, penalties)
        self._coefficient: Tensor
        self._old_log_scale: Tensor
        self.register_buffer("_coefficient", torch.tensor(settings.ppo_kl.coefficient, dtype=torch.float64))
        self.register_buffer("_old_log_scale", None)

    @torch.no_grad()
    def begin(self, network: ActorCritic, batch: Batch) -> Batch:
        """Return the batch with the policy's output before the update."""
        self._old_log_scale = network.log_scale.detach().clone()
        self._coefficient = self._coefficient.to(batch.advantage_B.device)
        return super().begin(network, batch)._replace(old_output_BA=batch.output_of(network))

    def surrogate(self, policy: PolicyOnBatch, minibatch: Batch) -> Tensor:
        """Return the penalised surrogate."""
        surrogate = ratio_surrogate(
            log_prob_B=policy.log_prob_B,
            behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
            advantage_B=minibatch.advantage_B,
            weight_B=minibatch.weight_B,
        )
        return surrogate + self._coefficient * self._moved(policy.network, policy.output_BA, minibatch)

    def _moved(self, network: ActorCritic, output_BA: Tensor, batch: Batch) -> Tensor:
        """Return the mean KL(policy before || policy now)."""
        assert batch.old_output_BA is not None
        divergence_B = network.distribution.divergence(
            batch.old_output_BA, self._old_log_scale, output_BA, network.log_scale
        )
        return weighted_mean(divergence_B, batch.weight_B)

    @torch.no_grad()
    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Adapt the coefficient; returns kl and the kl_coefficient that the update had."""
        divergence = self._moved(network, batch.output_of(network), batch)
        had, start = self._coefficient, self._settings.ppo_kl.coefficient
        self._coefficient = adapted(had, divergence=divergence, target=self._settings.ppo_kl.target).clamp(
            start / _FURTHEST, start * _FURTHEST
        )
        return super().finish(network, batch) | {"kl": divergence, "kl_coefficient": had}

    def get_state(self) -> dict[str, Any]:
        """Return the coefficient, and the reference where there is one."""
        return super().get_state() | {"kl_coefficient": self._coefficient.item()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        super().set_state(state)
        if "kl_coefficient" in state:
            self._coefficient = torch.tensor(state["kl_coefficient"], dtype=torch.float64)
