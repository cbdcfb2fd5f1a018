"""Rankings as evidence: in which order are these segments?

Axis suffixes: K member, B ranking, C segment of a ranking.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Abstention, Event, Ranking
from hitl.reward.evidence.judgements import Judgements
from hitl.reward.evidence.segments import returns_of
from hitl.reward.likelihoods.rankings import ranking_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble


@dataclass(frozen=True, slots=True)
class RankingLikelihood:
    """Plackett-Luce with ties and lapses; see `hitl.reward.likelihoods.rankings`."""

    has_contrary: ClassVar[bool] = True

    lapse: float

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return the return of each segment to each member, in log-odds, [K, B, C]."""
        log_odds_KBC: Tensor = ensemble.links["rankings"](returns_of(ensemble, *inputs))
        return log_odds_KBC

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; what is said are ranks, [B, C]."""
        return ranking_log_likelihood(
            return_KBC=rationality_B[:, None] * prediction_KB,
            rank_BC=said_B,
            log_tie=ensemble.log_tie,
            lapse=self.lapse,
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; right is who finds one of the best best, and it is decided if not all are."""
        best_B = prediction_B.masked_fill(said_B == 0, float("-inf")).argmax(-1)
        return said_B.gather(-1, best_B[:, None])[:, 0] == 1, (said_B > 1).any(-1)


class Rankings(Judgements):
    """The rankings that count."""

    name = "rankings"

    def said(self, event: Event | None) -> NDArray[Any] | None:
        """See `Judgements`: the rank of each segment from 1, [C]."""
        if not isinstance(event, Ranking) or isinstance(event.ranks, Abstention):
            return None
        return np.array(event.ranks, np.int64)
