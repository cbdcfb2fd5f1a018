"""Interquartile means, probabilities of improvement and their intervals, against plain loops and known answers."""

import numpy as np
import pytest

from benchmarks.intervals import interquartile_mean, interval, probability_of_improvement

RNG = np.random.default_rng(0)
OURS = [RNG.normal(1.0, 0.5, 10), RNG.normal(0.2, 1.0, 5)]
THEIRS = [RNG.normal(0.5, 0.5, 10), RNG.normal(0.2, 1.0, 5)]


def _slow_interquartile_mean(scores: list[list[float]]) -> float:
    """Agarwal et al. 2021, section 4.3: drop the best and the worst quarter of all runs together."""
    everything = [score for of_task in scores for score in of_task]
    for _ in range(len(everything) // 4):
        everything.remove(max(everything))
        everything.remove(min(everything))
    return sum(everything) / len(everything)


def test_interquartile_mean_is_that_of_all_tasks_together() -> None:
    assert interquartile_mean(OURS) == pytest.approx(_slow_interquartile_mean([list(s) for s in OURS]))
    assert interquartile_mean([np.array([-1e9, 1.0, 3.0, 1e9])]) == 2.0


def test_probability_of_improvement_counts_pairs() -> None:
    """Agarwal et al. 2021, section 4.3: over runs of a task, then over tasks."""
    by_task = []
    for ours, theirs in zip(OURS, THEIRS, strict=True):
        wins = sum(1.0 if x > y else 0.5 if x == y else 0.0 for x in ours for y in theirs)
        by_task.append(wins / (len(ours) * len(theirs)))
    assert probability_of_improvement(OURS, THEIRS) == pytest.approx(sum(by_task) / len(by_task))
    assert probability_of_improvement(OURS, OURS) == pytest.approx(0.5)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)

    def mean(scores: list[np.ndarray]) -> float:
        return float(np.mean(scores))

    covered = 0
    for _ in range(150):
        low, high = interval(mean, [rng.normal(size=20), rng.normal(size=20)], confidence=0.8, resamples=100)
        covered += low < 0.0 < high
    assert 0.7 < covered / 150 < 0.9


def test_interval_draws_within_tasks() -> None:
    """Between tasks scores differ a hundredfold, within them not at all: nothing is uncertain."""
    scores = [np.full(5, 0.01), np.full(3, 1.0)]
    low, high = interval(interquartile_mean, scores, resamples=100)
    assert low == high == interquartile_mean(scores)


def test_the_same_draws_again() -> None:
    assert interval(probability_of_improvement, OURS, THEIRS, resamples=50) == interval(
        probability_of_improvement, OURS, THEIRS, resamples=50
    )
