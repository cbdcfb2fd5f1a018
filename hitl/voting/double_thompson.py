"""Double Thompson Sampling: compares who may be the winner with who may beat them.

Source: Wu and Liu 2016, "Double Thompson sampling for dueling bandits", arXiv:1604.07101, algorithm 1 (D-TS). It finds
Copeland winners, so also the Condorcet winner where there is one. The paper counts regret, so there a policy that is
sure to win is compared with itself in the end. Nobody learns from such an answer, and here the winner is asked for, so
the second policy is always another one than the first.

Axis suffixes: I policy, J the other one.
"""

import numpy as np
from numpy.typing import NDArray

from hitl.voting.posterior import draw_preferences
from hitl.voting.tally import FloatArray

ALPHA = 0.51
"""How wide the confidence bounds are; as in the paper's experiments."""


def double_thompson(
    wins_IJ: FloatArray, asked_IJ: NDArray[np.int64], rng: np.random.Generator, /
) -> tuple[int, int]:
    """Choose the next pair; see `Schedule`. What is asked and not answered changes nothing but by chance."""
    upper_IJ, lower_IJ = confidence_bounds(wins_IJ)
    first = int(rng.choice(first_candidates(upper_IJ, draw_preferences(wins_IJ, rng))))
    drawn_IJ = draw_preferences(wins_IJ, rng)
    second = int(rng.choice(second_candidates(lower_IJ[:, first], drawn_IJ[:, first], first)))
    return first, second


def confidence_bounds(wins_IJ: FloatArray, *, alpha: float = ALPHA) -> tuple[FloatArray, FloatArray]:
    """Return upper and lower bounds of each preference, [I, J] each.

    They are the share of wins, plus and minus sqrt(alpha log t / n) with the pair's n answers at time t, which begins
    with 1. Anything divided by 0 is 1, as in the paper.
    """
    answers_IJ = wins_IJ + wins_IJ.T
    time = 1.0 + answers_IJ.sum() / 2
    asked = answers_IJ > 0
    share_IJ = np.divide(wins_IJ, answers_IJ, out=np.ones_like(wins_IJ), where=asked)
    spread_IJ = np.divide(alpha * np.log(time), answers_IJ, out=np.ones_like(wins_IJ), where=asked)
    upper_IJ, lower_IJ = share_IJ + np.sqrt(spread_IJ), share_IJ - np.sqrt(spread_IJ)
    np.fill_diagonal(upper_IJ, 0.5)
    np.fill_diagonal(lower_IJ, 0.5)
    return upper_IJ, lower_IJ


def first_candidates(upper_IJ: FloatArray, drawn_IJ: FloatArray) -> NDArray[np.int64]:
    """Return who may be compared, [...]: of those that may beat most others, those that do so in a draw.

    Args:
        upper_IJ: upper bounds of the preferences.
        drawn_IJ: a draw of the preferences.
    """
    may_beat_I = _others_beaten(upper_IJ)
    beats_I = np.where(may_beat_I == may_beat_I.max(), _others_beaten(drawn_IJ), -1)
    return np.flatnonzero(beats_I == beats_I.max())


def second_candidates(lower_I: FloatArray, drawn_I: FloatArray, first: int) -> NDArray[np.int64]:
    """Return with whom the first one may be compared, [...]: of those not known to beat it, who does so most in a draw.

    Args:
        lower_I: lower bounds of the preferences to the first one.
        drawn_I: a draw of the same.
        first: is compared.
    """
    others = np.arange(len(lower_I)) != first
    uncertain = others & (lower_I <= 0.5)
    allowed = uncertain if uncertain.any() else others
    value_I = np.where(allowed, drawn_I, -np.inf)
    return np.flatnonzero(value_I == value_I.max())


def _others_beaten(preference_IJ: FloatArray) -> NDArray[np.int64]:
    beats_IJ = preference_IJ > 0.5
    np.fill_diagonal(beats_IJ, val=False)
    beaten_I: NDArray[np.int64] = beats_IJ.sum(1)
    return beaten_I
