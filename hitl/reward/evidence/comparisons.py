"""Comparisons as evidence: which of two segments is better?

Axis suffixes: K member, P pair, C segment of a pair.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Choice, Comparison, Event
from hitl.reward.evidence.judgements import Judgements
from hitl.reward.evidence.segments import returns_of
from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble

CHOICE_INDEX = {Choice.FIRST: 0, Choice.SECOND: 1, Choice.TIE: 2}
"""Choices that are trained on, as the likelihood counts them."""
_TIE = CHOICE_INDEX[Choice.TIE]


@dataclass(frozen=True, slots=True)
class ComparisonLikelihood:
    """Bradley-Terry with ties and lapses; see `hitl.reward.likelihoods.comparisons`."""

    has_contrary: ClassVar[bool] = True

    lapse: float

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return each member's margin of the first segments over the second, [K, P]."""
        return_KPC = returns_of(ensemble, *inputs)
        return return_KPC[..., 0] - return_KPC[..., 1]

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; what is said is a choice by `CHOICE_INDEX`."""
        return comparison_log_likelihood(
            margin_KP=rationality_B * prediction_KB,
            choice_P=said_B,
            log_tie=ensemble.log_tie,
            lapse=self.lapse,
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; ties have no sign."""
        return (prediction_B > 0) == (said_B == CHOICE_INDEX[Choice.FIRST]), said_B != _TIE


class Comparisons(Judgements):
    """The comparisons that count."""

    name = "comparisons"

    def said(self, event: Event | None) -> NDArray[Any] | None:
        """See `Judgements`: a choice by `CHOICE_INDEX`, []."""
        if not isinstance(event, Comparison) or event.choice not in CHOICE_INDEX:
            return None
        return np.array(CHOICE_INDEX[event.choice])
