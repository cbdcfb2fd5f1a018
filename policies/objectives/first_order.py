"""Objectives that are followed along their gradient: a surrogate, an entropy bonus, a penalty for leaving a reference.

Sources: entropy bonus: Williams and Peng 1991, "Function optimization using connectionist reinforcement learning
algorithms"; KL to a frozen reference: Jaques et al. 2017, "Sequence tutor", arXiv:1611.02796.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives.objective import PolicyLoss
from policies.settings import UpdateSettings


class PolicyOnBatch(NamedTuple):
    """The policy being learnt on a minibatch, with gradients."""

    network: ActorCritic
    output_BA: Tensor
    log_prob_B: Tensor

    def mean_divergence(
        self, other_output_BA: Tensor, other_log_scale: Tensor, *, weight_B: Tensor
    ) -> Tensor:
        """Return the mean KL(this || other), over steps that count, in nats."""
        divergence_B = self.network.distribution.divergence(
            self.output_BA, self.network.log_scale, other_output_BA, other_log_scale
        )
        return weighted_mean(divergence_B, weight_B)


class FirstOrder(nn.Module):
    """An objective made of a surrogate: a subclass says which.

    A module, so that its tensors are read anew in each traced gradient step.
    """

    whole_batch: ClassVar[bool] = False
    subtracts_baseline: bool = True

    def __init__(self, settings: UpdateSettings, reference: ActorCritic | None = None) -> None:
        """Make it.

        Args:
            settings: numbers of the update.
            reference: the frozen policy that `reference_coefficient` is about.

        Raises:
            ValueError: the coefficient is not 0, but there is no reference.
        """
        super().__init__()
        self._settings = settings
        self._reference = reference if settings.reference_coefficient else None
        if settings.reference_coefficient and reference is None:
            raise ValueError("reference_coefficient is not 0, but there is no reference policy")
        if self._reference is not None:
            self._reference.requires_grad_(False)

    def surrogate(self, policy: PolicyOnBatch, minibatch: Batch) -> Tensor:
        """Return the surrogate as a loss, a scalar."""
        raise NotImplementedError

    @torch.no_grad()
    def begin(self, network: ActorCritic, batch: Batch) -> Batch:
        """Return the batch with the reference's output, where there is a reference."""
        if self._reference is None:
            return batch
        return batch._replace(reference_output_BA=batch.output_of(self._reference))

    def loss(self, network: ActorCritic, minibatch: Batch, output_BA: Tensor) -> PolicyLoss:
        """Return the surrogate, less the entropy bonus, plus the penalty for leaving the reference."""
        weight_B = minibatch.weight_B
        log_prob_B = network.distribution.log_prob(output_BA, network.log_scale, minibatch.action_BA)
        policy = PolicyOnBatch(network, output_BA, log_prob_B)
        surrogate = total = self.surrogate(policy, minibatch)
        if self._settings.entropy_coefficient:
            entropy_B = network.distribution.entropy(output_BA, network.log_scale)
            total = total - self._settings.entropy_coefficient * weighted_mean(entropy_B, weight_B)
        if self._reference is not None:
            assert minibatch.reference_output_BA is not None
            divergence = policy.mean_divergence(
                minibatch.reference_output_BA, self._reference.log_scale, weight_B=weight_B
            )
            total = total + self._settings.reference_coefficient * divergence
        return PolicyLoss(total, surrogate.detach())

    @torch.no_grad()
    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Return reference_kl, where there is a reference."""
        if self._reference is None:
            return {}
        assert batch.reference_output_BA is not None
        divergence_B = network.distribution.divergence(
            batch.output_of(network),
            network.log_scale,
            batch.reference_output_BA,
            self._reference.log_scale,
        )
        return {"reference_kl": weighted_mean(divergence_B, batch.weight_B)}

    def get_state(self) -> dict[str, Any]:
        """Return the reference, which a restored run could not find elsewhere."""
        if self._reference is None:
            return {}
        return {"reference": {k: v.cpu().numpy() for k, v in self._reference.state_dict().items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        if self._reference is not None and "reference" in state:
            arrays = {name: torch.tensor(array) for name, array in state["reference"].items()}
            self._reference.load_state_dict(arrays)
