"""Labels beside experience: a minibatch of them joins each gradient step of the policy's objective."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from policies.imitation.imitation_loss import imitation_loss
from policies.imitation.labels import Labels
from policies.networks import ActorCritic
from policies.settings import UpdateSettings


class LabelBatch(NamedTuple):
    """A minibatch of labels, and what their loss counts beside the objective's."""

    observation_BO: Tensor
    action_BA: Tensor
    weight_B: Tensor
    coefficient: Tensor

    @property
    def told_as(self) -> str:
        """See `policies.beside.BesideBatch`."""
        return "imitation_loss"

    def loss(self, network: ActorCritic, settings: UpdateSettings) -> Tensor:
        """Return the imitation loss, not weighted by the coefficient."""
        return imitation_loss(
            network.distribution,
            output_BA=network.policy(self.observation_BO),
            log_scale=network.log_scale,
            action_BA=self.action_BA,
            weight_B=self.weight_B,
            loss=settings.imitation_loss,
        )


class LabelsBeside:
    """One version of the labels that train, for the minibatches of one update."""

    def __init__(self, labels: Labels, *, size: int, coefficient: float, device: torch.device) -> None:
        """Prepare.

        Args:
            labels: of which the held-out ones stay out.
            size: of a minibatch; labels come again where there are fewer.
            coefficient: of the loss.
            device: the learner's.
        """
        self._labels, self._size, self._device = labels, size, device
        self._rows = np.flatnonzero(~labels.heldout_B & (labels.weight_B > 0))
        self._coefficient = torch.tensor(coefficient, device=device)

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, generator: torch.Generator) -> LabelBatch:
        """Draw a minibatch, with replacement, with a generator on the CPU."""
        places = torch.randint(len(self._rows), (self._size,), generator=generator).numpy()
        rows, labels = self._rows[places], self._labels
        observation, action, weight = (
            torch.from_numpy(part[rows]).to(self._device)
            for part in (labels.observation_BO, labels.action_BA, labels.weight_B)
        )
        return LabelBatch(observation, action, weight, self._coefficient)
