"""What few runs can tell: interquartile means, probabilities of improvement, and bootstrap intervals.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
arXiv:2108.13264, sections 4.1 to 4.3. A group of runs is one array of scores for each task.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.float64]]
"""One array [runs] for each task."""


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all runs of all tasks; a quarter is rounded down to whole runs."""
    everything = np.sort(np.concatenate(list(scores)))
    cut = len(everything) // 4
    return float(everything[cut : len(everything) - cut].mean())


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """Return the chance that a run of ours beats one of theirs on a random task; a draw counts half."""
    chances = [
        np.mean((our_R[:, None] > their_R) + 0.5 * (our_R[:, None] == their_R))
        for our_R, their_R in zip(ours, theirs, strict=True)
    ]
    return float(np.mean(chances))


def interval(
    statistic: Callable[..., float],
    *groups: Scores,
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic of groups, by the stratified bootstrap.

    Runs are drawn with replacement within each task of each group, so every task keeps its number of runs.

    Args:
        statistic: a function of as many groups as are given.
        *groups: of runs.
        confidence: share of resamples that the interval spans.
        resamples: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(*[[rng.choice(score_R, len(score_R)) for score_R in group] for group in groups])
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
