"""Signals beside experience: a minibatch of them joins each gradient step of the policy's objective."""

from typing import NamedTuple

import torch
from torch import Tensor

from policies.networks import ActorCritic
from policies.settings import UpdateSettings
from policies.signals.minibatches import SignalMinibatches
from policies.signals.settings import SignalSettings
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_loss import SignalMinibatch, look_at, reading_loss


class SignalsBesideBatch(NamedTuple):
    """A minibatch of signals, and what their loss counts beside the objective's."""

    observation_SLO: Tensor
    action_SLA: Tensor
    credit_SL: Tensor
    value_S: Tensor
    weight_S: Tensor
    first_log_prob_SL: Tensor
    coefficient: Tensor

    @property
    def told_as(self) -> str:
        """See `policies.beside.BesideBatch`."""
        return "signal_loss"

    def loss(self, network: ActorCritic, settings: UpdateSettings) -> Tensor:
        """Return the reading's loss, without an entropy bonus and not weighted by the coefficient."""
        signals = SignalMinibatch(*self[: len(SignalMinibatch._fields)])
        steps = signals.observation_SLO, signals.action_SLA
        look = look_at(network.policy, network.distribution, network.log_scale, *steps)
        return reading_loss(settings.signals, look.log_prob_SL, signals)


class SignalsBeside:
    """One version of the signals, for the minibatches of one update."""

    def __init__(
        self, batch: SignalBatch, settings: SignalSettings, *, coefficient: float, device: torch.device
    ) -> None:
        """Prepare.

        Args:
            batch: the signals that count.
            settings: of the reading: those of the update.
            coefficient: of the loss.
            device: the learner's.
        """
        self._signals = SignalMinibatches(batch, settings, device=device)
        self._coefficient = torch.tensor(coefficient, device=device)

    def __len__(self) -> int:
        return len(self._signals)

    def draw(self, generator: torch.Generator) -> SignalsBesideBatch:
        """Draw a minibatch, with a generator on the CPU."""
        return SignalsBesideBatch(*self._signals.draw(generator), self._coefficient)
