"""The seam between an update and what it maximises."""

from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from policies.batch import Batch
from policies.networks import ActorCritic


class PolicyLoss(NamedTuple):
    """What a gradient step of the policy minimises; scalars."""

    total: Tensor
    """With the entropy bonus and all penalties."""
    surrogate: Tensor
    """Without them."""


class Objective(Protocol):
    """What `policies.update` calls: `begin`, then `loss` for each minibatch, then `finish`."""

    whole_batch: ClassVar[bool]
    """One step on the whole batch in place of epochs of minibatches."""
    subtracts_baseline: bool
    """Actions are weighed by advantages; otherwise by what came of them, without a baseline."""

    def begin(self, network: ActorCritic, batch: Batch) -> Batch:
        """Return the batch with what `loss` needs of the network as it is now."""
        ...

    def loss(self, network: ActorCritic, minibatch: Batch, output_BA: Tensor) -> PolicyLoss | None:
        """Return what to minimise, given what the policy puts out; None where only the critic learns by steps."""
        ...

    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Adapt, and return scalars for people to watch."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep, as numbers and arrays."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        ...
