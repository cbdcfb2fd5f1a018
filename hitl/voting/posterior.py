"""What answers tell of preferences, and so of winners.

Answers of each pair are taken as independent draws from one preference, which a priori is as likely to be any number
from 0 to 1: after w wins and l losses it is Beta(w + 1, l + 1). That is the model of Double Thompson Sampling (Wu and
Liu 2016, arXiv:1604.07101, section 3). A tie counts half a win and half a loss.

Axis suffixes: I policy, J the other one, D draw of the posterior.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from hitl.voting.tally import FloatArray
from hitl.voting.winners import borda_scores, copeland_scores, shares_of_best

DRAWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of each policy, with the bounds of its central credible interval, and who has the highest one."""

    score_I: FloatArray
    """Borda: the mean of the posterior. Copeland: by the majority of the answers to each pair."""
    low_I: FloatArray
    high_I: FloatArray
    chance_I: FloatArray
    """That nobody has a higher one; policies that share the first place share its probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """What is known of who wins."""

    copeland: Score
    borda: Score
    condorcet_chance_I: FloatArray
    """That each beats every other one; what is missing to 1 is that nobody does."""


def chance_to_beat(wins_IJ: FloatArray) -> FloatArray:
    """Return the probability that I's preference to J is above a half, [I, J]; its diagonal is 0."""
    chance_IJ: FloatArray = betainc(wins_IJ.T + 1.0, wins_IJ + 1.0, 0.5)
    np.fill_diagonal(chance_IJ, 0.0)
    return chance_IJ


def condorcet_chances(wins_IJ: FloatArray) -> FloatArray:
    """Return the probability that each beats every other one, [I]: pairs are independent, so it is a product."""
    chance_IJ = chance_to_beat(wins_IJ)
    np.fill_diagonal(chance_IJ, 1.0)
    product: FloatArray = chance_IJ.prod(1)
    return product


def draw_preferences(
    wins_IJ: FloatArray, rng: np.random.Generator, *, draws: int | None = None
) -> FloatArray:
    """Draw preferences of all pairs, [D, I, J], or [I, J] without `draws`; on the diagonal is a half."""
    policies = len(wins_IJ)
    one, other = np.triu_indices(policies, 1)
    shape = (len(one),) if draws is None else (draws, len(one))
    drawn = rng.beta(wins_IJ[one, other] + 1.0, wins_IJ[other, one] + 1.0, size=shape)
    preference_DIJ = np.full((*shape[:-1], policies, policies), 0.5)
    preference_DIJ[..., one, other] = drawn
    preference_DIJ[..., other, one] = 1.0 - drawn
    return preference_DIJ


def copeland_chances(wins_IJ: FloatArray, rng: np.random.Generator, *, draws: int = DRAWS) -> FloatArray:
    """Return the probability that nobody beats more of the others than each does, [I]; see `Score.chance_I`."""
    return shares_of_best(_copeland_draws(wins_IJ, rng, draws))


def standings(wins_IJ: FloatArray, *, interval: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Standings:
    """Return what answers tell.

    Args:
        wins_IJ: as in `Tally`; at least two policies.
        interval: what the intervals hold of the posterior.
        draws: of the posterior, which chances of Copeland and Borda winners and all intervals are counted from: with
            10,000 a chance is right to 0.01.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    mean_IJ = (wins_IJ + 1.0) / (wins_IJ + wins_IJ.T + 2.0)
    copeland_DI = _copeland_draws(wins_IJ, rng, draws)
    borda_DI = borda_scores(draw_preferences(wins_IJ, rng, draws=draws))
    return Standings(
        # The mean is above a half just where the majority is.
        copeland=_score(copeland_scores(mean_IJ), copeland_DI, interval),
        borda=_score(borda_scores(mean_IJ), borda_DI, interval),
        condorcet_chance_I=condorcet_chances(wins_IJ),
    )


def _copeland_draws(wins_IJ: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    """Draw Copeland scores, [D, I]: who beats whom is all that they are made of, so no more is drawn."""
    policies = len(wins_IJ)
    one, other = np.triu_indices(policies, 1)
    beats = rng.random((draws, len(one))) < chance_to_beat(wins_IJ)[one, other]
    beaten_DI: NDArray[np.int64] = np.zeros((draws, policies), np.int64)
    for pair, (first, second) in enumerate(zip(one, other, strict=True)):
        beaten_DI[:, first] += beats[:, pair]
        beaten_DI[:, second] += ~beats[:, pair]
    return beaten_DI / (policies - 1)


def _score(score_I: FloatArray, drawn_DI: FloatArray, interval: float) -> Score:
    low_I, high_I = np.quantile(drawn_DI, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    return Score(score_I=score_I, low_I=low_I, high_I=high_I, chance_I=shares_of_best(drawn_DI))
