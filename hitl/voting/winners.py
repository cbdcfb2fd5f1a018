"""Winners by known preferences: Condorcet, Copeland and Borda.

`preference_IJ` is the probability that I is preferred to J, so `preference_IJ + preference_IJ.T` is 1; its diagonal is
not read. Leading axes, such as draws of a posterior, are kept.

Source: Zoghi et al. 2015, "Copeland dueling bandits", arXiv:1506.00312, section 2 (Condorcet, Copeland); Jamieson et
al. 2015, "Sparse dueling bandits", arXiv:1502.00133, section 1 (Borda). Axis suffixes: I policy, J the other one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.voting.tally import FloatArray


def copeland_scores(preference_IJ: FloatArray) -> FloatArray:
    """Return the share of the others that each policy beats, [..., I]; one as good as it is half beaten."""
    beaten_IJ = np.sign(preference_IJ - 0.5) / 2 + 0.5
    return _mean_over_others(beaten_IJ)


def borda_scores(preference_IJ: FloatArray) -> FloatArray:
    """Return how probably each policy is preferred to another one that is drawn at random, [..., I]."""
    return _mean_over_others(preference_IJ)


def condorcet_winner(preference_IJ: FloatArray) -> int | None:
    """Return the policy that beats every other one, of `preference_IJ` with two axes; None where there is none."""
    (winners,) = np.nonzero(copeland_scores(preference_IJ) == 1.0)
    return int(winners[0]) if len(winners) else None


def best(score_I: FloatArray) -> NDArray[np.int64]:
    """Return the numbers of all policies with the highest score."""
    (winners,) = np.nonzero(score_I == score_I.max())
    return winners


def shares_of_best(score_DI: FloatArray) -> FloatArray:
    """Return how often each policy has the highest score of a draw, [I]; those who share it share the draw."""
    is_best_DI = score_DI == score_DI.max(-1, keepdims=True)
    shares: FloatArray = (is_best_DI / is_best_DI.sum(-1, keepdims=True)).mean(0)
    return shares


def _mean_over_others(value_IJ: NDArray[Any]) -> FloatArray:
    policies = value_IJ.shape[-1]
    off_diagonal = np.where(np.eye(policies, dtype=bool), 0.0, value_IJ)
    mean: FloatArray = off_diagonal.sum(-1) / (policies - 1)
    return mean
