"""The seam between an update and what its policy learns from beside experience."""

from typing import Protocol

import torch
from torch import Tensor

from policies.networks import ActorCritic
from policies.settings import UpdateSettings


class BesideBatch(Protocol):
    """A minibatch of it, whose fields are tensors: a subclass is a named tuple."""

    @property
    def coefficient(self) -> Tensor:
        """What its loss counts beside the objective's, a scalar."""
        ...

    @property
    def told_as(self) -> str:
        """Name of its loss among the numbers that people watch."""
        ...

    def loss(self, network: ActorCritic, settings: UpdateSettings) -> Tensor:
        """Return the loss, a scalar, not weighted by the coefficient."""
        ...


class Beside(Protocol):
    """One version of what there is, for the minibatches of one update; empty where there is nothing."""

    def __len__(self) -> int: ...

    def draw(self, generator: torch.Generator) -> BesideBatch:
        """Draw a minibatch, with a generator on the CPU."""
        ...
