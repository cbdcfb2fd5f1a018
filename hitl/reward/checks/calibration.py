"""Whether a reward model is right as often as it says: the reliability of its predictions on held-out answers.

A model that is sure of what it does not know misleads who chooses questions by its uncertainty, and a policy that
trusts it. It is judged here and never corrected: the few answers held out belong to the gate between versions.

Sources: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 2 (reliability diagrams,
expected calibration error); Nixon et al. 2019, "Measuring Calibration in Deep Learning", arXiv:1904.01685, section 3.2
(bins of equal mass).

Axis suffixes: K member, E held-out answer, B bin.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Choice
from hitl.reward.evidence.comparisons import CHOICE_INDEX
from hitl.reward.fitting import Part, predicted
from hitl.reward.network.ensemble import RewardEnsemble

_MOST_BINS = 10
_FEWEST_PER_BIN = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions that are about equally sure."""

    confidence: float
    """Mean probability that the model gives to the side that it predicts, from 0.5 to 1."""
    right: float
    """Share of them that are right."""
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure predictions are, and how often they are right."""

    bins: tuple[Bin, ...]
    """From the least to the most sure; of equal mass."""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |right - confidence|, each bin by its count.

        Chance alone makes it greater than 0: with n answers a bin by about 0.4 / sqrt(n).
        """
        count = sum(one.count for one in self.bins)
        return sum(one.count * abs(one.right - one.confidence) for one in self.bins) / count

    @property
    def rows(self) -> list[tuple[float, float, int]]:
        """Confidence, share and count of each bin."""
        return [(one.confidence, one.right, one.count) for one in self.bins]


def reliability(confidence_E: NDArray[np.floating], right_E: NDArray[np.bool_]) -> Reliability | None:
    """Return how often predictions of about the same confidence are right; None where there are none.

    There are up to ten bins, and fewer where one would have less than ten predictions.
    """
    if not len(confidence_E):
        return None
    count = max(1, min(_MOST_BINS, len(confidence_E) // _FEWEST_PER_BIN))
    order_E = np.argsort(confidence_E, kind="stable")
    return Reliability(
        tuple(
            Bin(float(confidence_E[rows].mean()), float(right_E[rows].mean()), len(rows))
            for rows in np.array_split(order_E, count)
        )
    )


@torch.no_grad()
def of_comparisons(ensemble: RewardEnsemble, part: Part) -> Reliability | None:
    """Return the reliability on held-out comparisons, ties left out; None where there are none."""
    if not len(part.heldout):
        return None
    prediction_KE, said_E = predicted(ensemble, part, part.heldout)
    rationality_E = part.rationality_of(part.heldout.to(prediction_KE.device))

    def log_share(choice: Choice) -> Tensor:
        said = torch.full_like(said_E, CHOICE_INDEX[choice])
        return torch.logsumexp(
            part.likelihood.log_likelihood(ensemble, prediction_KE, said, rationality_E), 0
        )

    first_E = torch.sigmoid(log_share(Choice.FIRST) - log_share(Choice.SECOND))
    decided_E = said_E != CHOICE_INDEX[Choice.TIE]
    right_E = (first_E > 1 / 2) == (said_E == CHOICE_INDEX[Choice.FIRST])
    confidence_E = torch.maximum(first_E, 1 - first_E)
    return reliability(confidence_E[decided_E].cpu().numpy(), right_E[decided_E].cpu().numpy())
