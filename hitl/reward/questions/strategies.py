"""What a question is worth: the strategies.

Axis suffixes: K member, C candidate pair, A answer (first, second, tie).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.questions.settings import StrategyName

_ANSWERS = 3


def answer_log_probabilities(margin_KC: Tensor, *, log_tie: Tensor | float, lapse: float) -> Tensor:
    """Log-probability of each answer to each pair, as each member expects it, by the likelihood that fits them.

    Args:
        margin_KC: predicted return of the first segment minus that of the second, in link units.
        log_tie: logarithm of the tie propensity.
        lapse: chance that an answer is given at random.

    Returns:
        [K, C, A], in nats.
    """
    return comparison_log_likelihood(
        margin_KP=margin_KC[..., None].expand(-1, -1, _ANSWERS),
        choice_P=torch.arange(_ANSWERS, device=margin_KC.device),
        log_tie=log_tie,
        lapse=lapse,
    )


class Value(Protocol):
    """How candidate pairs are valued."""

    def __call__(
        self, margin_KC: Tensor, log_answer_KCA: Tensor, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the value of each pair, [C], at least 0; higher is asked first.

        Args:
            margin_KC: predicted return of the first segment minus that of the second, in link units.
            log_answer_KCA: see `answer_log_probabilities`.
            rng: of those that leave it to chance.
        """
        ...


def disagreement(margin_KC: Tensor, log_answer_KCA: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """Variance over members of the probability that the first segment wins.

    Source: Christiano et al. 2017, arXiv:1706.03741, section 2.2.4.
    """
    probability_KC = torch.sigmoid(margin_KC.double())
    value: NDArray[np.float64] = probability_KC.var(0, correction=0).numpy()
    return value


def information_gain(
    margin_KC: Tensor, log_answer_KCA: Tensor, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mutual information, in nats, between the answer and which member is right.

    That is the entropy of the answer as all members together expect it, less the mean of the entropies that each
    expects: a question that the teacher cannot answer either is worth nothing, however undecided the members are.

    Sources: Houlsby et al. 2011, "Bayesian active learning for classification and preference learning",
    arXiv:1112.5745, section 2; Biyik et al. 2020, "Asking easy questions: a user-friendly approach to active reward
    learning", arXiv:1910.04365, section 3.
    """
    probability_KCA = log_answer_KCA.double().exp()
    together_C = torch.special.entr(probability_KCA.mean(0)).sum(-1)
    alone_C = torch.special.entr(probability_KCA).sum(-1).mean(0)
    value: NDArray[np.float64] = (together_C - alone_C).clamp_min(0.0).numpy()
    return value


def volume_removal(
    margin_KC: Tensor, log_answer_KCA: Tensor, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Share of the hypotheses that the answer removes for certain: the least over the answers.

    Each member is a hypothesis, and an answer removes as much of it as it is unlikely by it. A pair of equals, which
    everybody would answer at random, removes the most, and teaches nothing: `information_gain` mends that.

    Source: Sadigh et al. 2017, "Active preference-based learning of reward functions", RSS, section 4.
    """
    likely_CA = log_answer_KCA.double().exp().mean(0)
    value: NDArray[np.float64] = (1.0 - likely_CA.max(-1).values).numpy()
    return value


def at_random(margin_KC: Tensor, log_answer_KCA: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """Any pair is as good as another: the baseline."""
    return rng.random(margin_KC.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How some of a round's questions are chosen."""

    value: Value
    by_chance: bool = False
    """Values are uniform in [0, 1), and weights mean how likely a pair is to be asked about."""
    newest: bool = False
    """Only among segments of the newest policy versions."""
    spread: bool = False
    """Such that they stand for all valuable ones, and not the most valuable ones alone."""

    def weighed(self, value_C: NDArray[np.float64], weight_C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values where some pairs are worth asking less than others in themselves, [C].

        The product; but of numbers drawn by chance the power, so that those of the largest are a weighted sample.

        Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir", Information Processing
        Letters 97, algorithm A.

        Args:
            value_C: see `Value`.
            weight_C: above 0; only their ratios say anything.
        """
        return value_C ** (weight_C.max() / weight_C) if self.by_chance else value_C * weight_C


STRATEGIES: Mapping[StrategyName, Strategy] = {
    "disagreement": Strategy(value=disagreement),
    "information_gain": Strategy(value=information_gain),
    "volume_removal": Strategy(value=volume_removal),
    "random": Strategy(value=at_random, by_chance=True),
    # Hu et al. 2024, "Query-policy misalignment in preference-based reinforcement learning", arXiv:2305.17400:
    # pairs at random, of the newest experience.
    "near_on_policy": Strategy(value=at_random, by_chance=True, newest=True),
    # Biyik and Sadigh 2018, "Batch active preference-based learning of reward functions", arXiv:1810.04303, section 4.
    "diverse": Strategy(value=information_gain, spread=True),
}
