"""What every objective can add to its surrogate: an entropy bonus, and a penalty for leaving a frozen reference policy.

Sources: entropy bonus: Williams and Peng 1991, "Function optimization using connectionist reinforcement learning
algorithms"; KL to a frozen reference: Jaques et al. 2017, "Sequence tutor", arXiv:1611.02796.
"""

from typing import Any

import torch
from torch import Tensor, nn

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.networks import ActorCritic
from policies.settings import UpdateSettings


class Penalties(nn.Module):
    """The bonus and the penalty, by the update's settings.

    A module, so that the reference is read anew in each traced gradient step.
    """

    def __init__(self, settings: UpdateSettings, reference: ActorCritic | None = None) -> None:
        """Make them.

        Args:
            settings: numbers of the update.
            reference: the frozen policy that `reference_coefficient` is about.

        Raises:
            ValueError: the coefficient is not 0, but there is no reference.
        """
        super().__init__()
        self._entropy_coefficient = settings.entropy_coefficient
        self._reference_coefficient = settings.reference_coefficient
        self._reference = reference if settings.reference_coefficient else None
        if settings.reference_coefficient and reference is None:
            raise ValueError("reference_coefficient is not 0, but there is no reference policy")
        if self._reference is not None:
            self._reference.requires_grad_(False)

    @torch.no_grad()
    def begin(self, batch: Batch) -> Batch:
        """Return the batch with the reference's output, where there is a reference."""
        if self._reference is None:
            return batch
        return batch._replace(reference_output_BA=batch.output_of(self._reference))

    def added_to(self, loss: Tensor, network: ActorCritic, output_BA: Tensor, batch: Batch) -> Tensor:
        """Return a loss less the bonus and plus the penalty, a scalar.

        Args:
            loss: a scalar.
            network: the policy being learnt.
            output_BA: what it puts out.
            batch: as `begin` returned it, or a part of that.
        """
        if self._entropy_coefficient:
            entropy_B = network.distribution.entropy(output_BA, network.log_scale)
            loss = loss - self._entropy_coefficient * weighted_mean(entropy_B, batch.weight_B)
        if self._reference is not None:
            loss = loss + self._reference_coefficient * self._divergence(network, output_BA, batch)
        return loss

    def _divergence(self, network: ActorCritic, output_BA: Tensor, batch: Batch) -> Tensor:
        """Return the mean KL(policy || reference), over steps that count, in nats."""
        assert self._reference is not None
        assert batch.reference_output_BA is not None
        divergence_B = network.distribution.divergence(
            output_BA, network.log_scale, batch.reference_output_BA, self._reference.log_scale
        )
        return weighted_mean(divergence_B, batch.weight_B)

    @torch.no_grad()
    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Return reference_kl, where there is a reference."""
        if self._reference is None:
            return {}
        return {"reference_kl": self._divergence(network, batch.output_of(network), batch)}

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
