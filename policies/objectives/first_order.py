"""Objectives that are followed along their gradient: a surrogate, with the penalties that all can have."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives.objective import PolicyLoss
from policies.objectives.penalties import Penalties
from policies.settings import UpdateSettings


class PolicyOnBatch(NamedTuple):
    """The policy being learnt on a minibatch, with gradients."""

    network: ActorCritic
    output_BA: Tensor
    log_prob_B: Tensor


class FirstOrder(nn.Module):
    """An objective made of a surrogate: a subclass says which.

    A module, so that its tensors are read anew in each traced gradient step.
    """

    whole_batch: ClassVar[bool] = False
    subtracts_baseline: bool = True

    def __init__(self, settings: UpdateSettings, penalties: Penalties) -> None:
        super().__init__()
        self._settings, self._penalties = settings, penalties

    def surrogate(self, policy: PolicyOnBatch, minibatch: Batch) -> Tensor:
        """Return the surrogate as a loss, a scalar."""
        raise NotImplementedError

    def begin(self, network: ActorCritic, batch: Batch) -> Batch:
        """Return the batch with the reference's output, where there is a reference."""
        return self._penalties.begin(batch)

    def loss(self, network: ActorCritic, minibatch: Batch, output_BA: Tensor) -> PolicyLoss:
        """Return the surrogate, less the entropy bonus, plus the penalty for leaving the reference."""
        log_prob_B = network.distribution.log_prob(output_BA, network.log_scale, minibatch.action_BA)
        surrogate = self.surrogate(PolicyOnBatch(network, output_BA, log_prob_B), minibatch)
        total = self._penalties.added_to(surrogate, network, output_BA, minibatch)
        return PolicyLoss(total, surrogate.detach())

    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Return reference_kl, where there is a reference."""
        return self._penalties.finish(network, batch)

    def get_state(self) -> dict[str, Any]:
        """Return the reference, where there is one."""
        return self._penalties.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._penalties.set_state(state)
