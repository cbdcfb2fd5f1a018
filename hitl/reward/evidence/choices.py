"""What corrections and demonstrations have in common: people chose one thing, and could have chosen others.

Axis suffixes: K member, B choice, C what could be chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hitl.reward.likelihoods.choices import choice_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble


@dataclass(frozen=True, slots=True)
class ChoiceLikelihood:
    """A softmax over what things are worth; see `hitl.reward.likelihoods.choices`."""

    has_contrary: ClassVar[bool] = False

    link: str
    """Of the kind."""
    worth: Callable[..., Tensor]
    """Returns what each of the inputs is worth to each member, [K, B, C]."""

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return the log-odds of all that could be chosen to each member, [K, B, C]; the first was."""
        log_odds_KBC: Tensor = ensemble.links[self.link](self.worth(ensemble, *inputs))
        return log_odds_KBC

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; the first is what is said."""
        return choice_log_likelihood(worth_KBC=prediction_KB, rationality=rationality_B)

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; right is who gives what was chosen the highest worth."""
        return prediction_B.argmax(-1) == said_B, torch.ones_like(said_B, dtype=torch.bool)
