"""How a simulated teacher ranks, rates and recognises, by true returns: pure functions of a source of chance.

Rankings: Plackett-Luce, drawn as Gumbel noise on the scores (Yellott 1977, "The relationship between Luce's choice
axiom, Thurstone's theory of comparative judgment, and the double exponential distribution", J. Math. Psychology 15).
Of two segments that is the Bradley-Terry choice of a comparison. Ratings: the cumulative logit model (McCullagh 1980,
"Regression models for ordinal data", J. R. Stat. Soc. B 42). Mistakes are those of B-Pref (Lee et al. 2021,
arXiv:2111.03026, section 3.1) where they have two answers; of a scale, a mistake reads it the wrong way round.

Axis suffixes: S segment, in the question's order; R cut between two points of a rating.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rank(
    return_S: Sequence[float],
    rng: np.random.Generator,
    *,
    rationality: float | None,
    tie_threshold: float = 0.0,
    mistake: float = 0.0,
) -> tuple[int, ...]:
    """Rank segments by their true returns.

    Args:
        return_S: true return of each.
        rng: chance.
        rationality: beta, which multiplies returns; None: the better one always comes first.
        tie_threshold: who differs from the first one of a place by at most this shares it.
        mistake: chance that the whole order is turned round.

    Returns:
        The place of each, from 1, the best, without gaps.
    """
    score_S: NDArray[np.float64] = np.asarray(return_S, np.float64)
    if rationality is not None:
        score_S = rationality * score_S + rng.gumbel(size=len(score_S))
    ranks, place, leader = [0] * len(return_S), 0, math.inf
    for segment in np.argsort(-score_S, kind="stable"):
        if not place or abs(leader - return_S[segment]) > tie_threshold:
            place, leader = place + 1, return_S[segment]
        ranks[segment] = place
    turned_round = rng.random() < mistake
    return tuple(place + 1 - rank if turned_round else rank for rank in ranks)


def rate(
    true_return: float,
    cut_R: Sequence[float],
    rng: np.random.Generator,
    *,
    rationality: float | None,
    mistake: float = 0.0,
) -> int:
    """Rate a segment by its true return: P(rating <= j) = 1 / (1 + exp(-beta * (cut_j - return))).

    Args:
        true_return: of the segment.
        cut_R: true returns between one point and the next, rising: one fewer than there are points.
        rng: chance.
        rationality: beta; None: each return has one rating.
        mistake: chance that the scale is read the wrong way round.

    Returns:
        From 1, the worst, to the number of points.
    """
    chance = rng.random()
    if rationality is None:
        above = sum(true_return > cut for cut in cut_R)
    else:
        above = sum(chance > logistic(rationality * (cut - true_return)) for cut in cut_R)
    return len(cut_R) + 1 - above if rng.random() < mistake else above + 1


def recognise(wanted: bool, rng: np.random.Generator, *, mistake: float = 0.0) -> bool:
    """Say whether a state is wanted; by mistake, the opposite."""
    return wanted != (rng.random() < mistake)


class RatingScale:
    """Which true returns a teacher calls good and bad: points of equal width between two ends."""

    def __init__(self, ends: tuple[float, float] | None = None) -> None:
        """Begin.

        Args:
            ends: true returns at which the worst point begins and the best one ends; None: the lowest and the highest
                that the teacher has seen so far, so that a rating then depends on those before it.
        """
        self._grows = ends is None
        self._low, self._high = ends or (math.inf, -math.inf)

    def cuts(self, true_return: float, points: int) -> list[float]:
        """Return the cuts between so many points, once a segment of this return has been seen.

        As long as all segments were alike they are in the middle of the scale.
        """
        if self._grows:
            self._low, self._high = min(self._low, true_return), max(self._high, true_return)
        if self._low == self._high:
            middle = (points - 1) // 2
            return [-math.inf] * middle + [math.inf] * (points - 1 - middle)
        width = (self._high - self._low) / points
        return [self._low + width * (point + 1) for point in range(points - 1)]


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)), for any x."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))
