"""A policy that learns from signals alone."""

import copy
from typing import Any

import numpy as np
import torch

from policies.descent.adam import AdamState, state_of
from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.descent.student import hand_back, take_over
from policies.experience import FloatArray, IntArray
from policies.networks import ActorCritic
from policies.signals.minibatches import SignalMinibatches
from policies.signals.settings import SignalSettings
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_loss import SignalLoss


class SignalLearner:
    """Takes a few gradient steps on the signals each time that some have come, the optimiser going on.

    It learns on a copy and writes the result into the network's parameters where they lie, as
    `policies.imitation.cloning.Cloning` does. The critic does not move, except for layers that it shares.
    """

    def __init__(self, network: ActorCritic, settings: SignalSettings) -> None:
        """Prepare.

        Args:
            network: whose policy learns.
            settings: of the reading.

        Raises:
            ValueError: the network is recurrent.
        """
        self._network, self._settings = network, settings
        self._student = SignalLoss(copy.deepcopy(network), settings).requires_grad_(True)
        self._flat = flatten_parameters(self._student)
        self._optimiser = torch.optim.Adam([self._flat], lr=settings.learning_rate)
        self._step = GradientStep(
            self._student, self._flat, optimiser=self._optimiser, max_gradient_norm=settings.max_gradient_norm
        )
        self._number_S: IntArray = np.zeros(0, np.int64)
        """Of the signals that were learnt from last time."""
        self._first_SL: FloatArray = np.zeros((0, 0), np.float32)
        """Log-probabilities of what they are about, when each was first learnt from."""

    def learn(self, batch: SignalBatch, generator: torch.Generator) -> dict[str, float]:
        """Learn from a version of the signals, in place; those that are new to the learner are in every minibatch.

        Args:
            batch: the signals that count.
            generator: draws the minibatches, on the CPU. The result is a function of weights, signals and both states.

        Returns:
            Means over the steps, before each: signal_loss, signal_entropy and signal_gradient_norm. Nothing where
            there is no signal.
        """
        if not len(batch):
            return {}
        take_over(self._student, self._network)
        newest = self._remember_first(batch)
        signals = SignalMinibatches(
            batch, self._settings, device=self._flat.device, first_log_prob_SL=self._first_SL
        )
        watched = [
            torch.stack(self._step(*signals.draw(generator, newest=newest))[1:])
            for _ in range(self._settings.gradient_steps)
        ]
        hand_back(self._student, self._network)
        names = ("signal_loss", "signal_entropy", "signal_gradient_norm")
        return dict(zip(names, torch.stack(watched).mean(0).tolist(), strict=True))

    @torch.no_grad()
    def _remember_first(self, batch: SignalBatch) -> int:
        """Note how probable what new signals are about is now; returns how many are new."""
        place_S = np.searchsorted(self._number_S, batch.number_S)
        known_S = np.isin(batch.number_S, self._number_S)
        first_SL: FloatArray = np.full(batch.credit_SL.shape, np.nan, np.float32)
        kept_SL = self._first_SL[place_S[known_S]][:, : first_SL.shape[1]]
        first_SL[known_S, : kept_SL.shape[1]] = kept_SL
        if len(new := np.flatnonzero(~known_S)):
            parts = (batch.observation_SLO[new], batch.action_SLA[new])
            seen, done = (torch.from_numpy(part).to(self._flat.device) for part in parts)
            first_SL[new] = self._student.look(seen, done).log_prob_SL.cpu().numpy()
        self._number_S, self._first_SL = batch.number_S.copy(), first_SL
        return len(new)

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep beside the network, as numbers and arrays."""
        moments = state_of(self._optimiser, self._flat)._asdict()
        signals = {"number": self._number_S, "first_log_prob": self._first_SL}
        return signals | {name: value.cpu().numpy().copy() for name, value in moments.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._number_S, self._first_SL = np.array(state["number"]), np.array(state["first_log_prob"])
        moments = state_of(self._optimiser, self._flat)
        for name in AdamState._fields:
            getattr(moments, name).copy_(torch.as_tensor(state[name]))
