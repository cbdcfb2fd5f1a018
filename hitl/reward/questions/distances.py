"""How alike questions are, and which few stand for many.

Axis suffixes: F feature, P and Q pair of segments, 2 the segments of a pair, B pair to choose from.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def pair_distances(
    feature_P2F: NDArray[np.floating], feature_Q2F: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Distance between questions: how far both segments of one are from those of the other, [P, Q].

    Which segment comes first makes no other question, so the nearer of both ways to match them counts. Pairs are alike
    only where both segments are: the same difference elsewhere is another question, for a reward need not be linear.
    """
    flat_P, flat_Q = feature_P2F.reshape(len(feature_P2F), -1), feature_Q2F.reshape(len(feature_Q2F), -1)
    turned_Q = feature_Q2F[:, ::-1].reshape(len(feature_Q2F), -1)
    nearer: NDArray[np.float64] = np.minimum(cdist(flat_P, flat_Q), cdist(flat_P, turned_Q))
    return nearer


def typical_distance(feature_P2F: NDArray[np.floating]) -> float:
    """Median distance between two of these questions; 0 where there are fewer than two."""
    if len(feature_P2F) < 2:
        return 0.0
    upper = np.triu_indices(len(feature_P2F), 1)
    return float(np.median(pair_distances(feature_P2F, feature_P2F)[upper]))


def medoids(
    distance_BB: NDArray[np.floating],
    count: int,
    *,
    clash_BB: NDArray[np.bool_],
    free_B: NDArray[np.bool_],
) -> list[int]:
    """Choose pairs that stand for all, one after the other.

    Each next one makes the sum of distances from every pair to the nearest chosen one as small as it can.

    Source: Kaufman and Rousseeuw 1990, "Finding groups in data", chapter 2, the phase BUILD of k-medoids.

    Args:
        distance_BB: between pairs.
        count: wanted; fewer come back where the others clash.
        clash_BB: pairs that cannot both be chosen.
        free_B: those that can be chosen at all; the others are stood for.
    """
    chosen: list[int] = []
    nearest_B = np.full(len(distance_BB), np.inf)
    free_B = free_B.copy()
    while len(chosen) < count and free_B.any():
        cost_B = np.minimum(distance_BB, nearest_B[:, None]).sum(0)
        best = int(np.argmin(np.where(free_B, cost_B, np.inf)))
        chosen.append(best)
        nearest_B = np.minimum(nearest_B, distance_BB[:, best])
        free_B &= ~clash_BB[best]
        free_B[best] = False
    return chosen
