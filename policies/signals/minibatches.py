"""Signals as a gradient step reads them: minibatches of one shape, and the newest in each."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policies.experience import FloatArray
from policies.signals.readings import counted_credit, told_value
from policies.signals.settings import SignalSettings
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_loss import SignalMinibatch


class SignalMinibatches:
    """One version of the signals as a reading takes them."""

    def __init__(
        self,
        batch: SignalBatch,
        settings: SignalSettings,
        *,
        device: torch.device,
        first_log_prob_SL: FloatArray | None = None,
    ) -> None:
        """Prepare.

        Args:
            batch: the signals.
            settings: of the reading, and the size of a minibatch.
            device: the learner's.
            first_log_prob_SL: of the actions, when their signal was first learnt from; None: that is now.
        """
        self._first_SL = np.full(batch.credit_SL.shape, np.nan, np.float32)
        if first_log_prob_SL is not None:
            self._first_SL[:] = first_log_prob_SL
        self._batch, self._size, self._device = batch, settings.minibatch_size, device
        self._credit_SL, self._value_S = counted_credit(batch, settings), told_value(batch, settings)

    def __len__(self) -> int:
        return len(self._batch)

    def draw(self, generator: torch.Generator, *, newest: int = 0) -> SignalMinibatch:
        """Draw signals without replacement, with a generator on the CPU; fewer than a minibatch are filled up.

        Args:
            generator: of the choice.
            newest: so many of the last ones are in it for certain, as far as half of it holds them, as in Deep TAMER
                (Warnell et al. 2018, arXiv:1709.10163, Algorithm 1).
        """
        certain = min(newest, self._size // 2, len(self))
        others = torch.randperm(len(self) - certain, generator=generator)[: self._size - certain].numpy()
        drawn = np.concatenate([np.arange(len(self) - certain, len(self)), others])
        rows = np.resize(drawn, self._size)
        weight_S = (np.arange(self._size) < len(drawn)).astype(np.float32)
        return SignalMinibatch(
            observation_SLO=self._tensor(self._batch.observation_SLO[rows]),
            action_SLA=self._tensor(self._batch.action_SLA[rows]),
            credit_SL=self._tensor(self._credit_SL[rows]),
            value_S=self._tensor(self._value_S[rows]),
            weight_S=self._tensor(weight_S),
            first_log_prob_SL=self._tensor(self._first_SL[rows]),
        )

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)
