"""Goals as evidence: is this state what people want?

Axis suffixes: K member, B state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Event, Goal, JournalEntry, Segment
from hitl.reward.evidence.judgements import Judgements
from hitl.reward.evidence.segments import part_of, returns_of
from hitl.reward.likelihoods.goals import goal_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble


@dataclass(frozen=True, slots=True)
class GoalLikelihood:
    """A classifier of success; see `hitl.reward.likelihoods.goals`."""

    has_contrary: ClassVar[bool] = True

    lapse: float

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return each member's log-odds that a state is what people want, [K, B]."""
        log_odds_KB: Tensor = ensemble.links["goals"](returns_of(ensemble, *inputs)[..., 0])
        return log_odds_KB

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; what is said is 1 or 0."""
        return goal_log_likelihood(
            reward_KB=prediction_KB, reached_B=said_B, scale=rationality_B, offset=0.0, lapse=self.lapse
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`."""
        return (prediction_B > 0) == (said_B == 1), torch.ones_like(said_B, dtype=torch.bool)


class Goals(Judgements):
    """The states that were called what people want, or not."""

    name = "goals"

    def said(self, event: Event | None) -> NDArray[Any] | None:
        """See `Judgements`: 1 or 0, []."""
        if not isinstance(event, Goal) or not isinstance(event.reached, bool):
            return None
        return np.array(int(event.reached))

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`; it is about one step of the segment."""
        if isinstance(entry.event, Goal):
            step = entry.event.step
            segments = [part_of(segment, step, step + 1) for segment in segments]
        super().take(entry, segments)
