"""How many labels something takes, and whether one way takes fewer than another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import Scores, interquartile_mean, interval, probability_of_improvement

BASELINE = "random"
Curve = Sequence[tuple[float, float]]
"""Scores of one run after so many labels, or seconds, in order."""


def labels_to(curve: Curve, target: float) -> tuple[float, bool]:
    """Return after how many labels a run has reached a score for the first time, and whether it ever has.

    One that never has counts with all the labels that it had: it would have needed more.
    """
    for labels, score in curve:
        if score >= target:
            return labels, True
    return curve[-1][0], False


def mean_score(curve: Curve) -> float:
    """Return the mean score over the labels of a run, by the trapezoidal rule."""
    labels, scores = np.array(curve, float).T
    return float(np.trapezoid(scores, labels) / (labels[-1] - labels[0]))


def difference(ours: Scores, theirs: Scores) -> float:
    """Return how much larger our interquartile mean is."""
    return interquartile_mean(ours) - interquartile_mean(theirs)


def figures(curves: Mapping[str, Sequence[Curve]], target: float) -> dict[str, Any]:
    """Return what strategies need and reach on one task, and what that is beside random questions.

    Args:
        curves: of the seeds, by strategy.
        target: score whose labels are counted.
    """
    labels = {name: _labels(runs, target) for name, runs in curves.items()}
    scores = {name: [np.array([mean_score(run) for run in runs])] for name, runs in curves.items()}
    found: dict[str, Any] = {}
    for name, runs in curves.items():
        found[name] = {
            "labels": summary(interquartile_mean, labels[name]),
            "mean_score": summary(interquartile_mean, scores[name]),
            "reached": sum(labels_to(run, target)[1] for run in runs),
            "labels_of_each": labels[name][0].astype(int).tolist(),
            "score_at_the_end": [round(run[-1][1], 3) for run in runs],
        }
        if name != BASELINE and BASELINE in curves:
            found[name]["beside_random"] = {
                "labels": summary(difference, labels[name], labels[BASELINE]),
                "mean_score": summary(difference, scores[name], scores[BASELINE]),
                "probability_of_fewer_labels": fewer_labels([labels[name][0]], [labels[BASELINE][0]]),
            }
    return found


def fewer_labels(ours: Scores, theirs: Scores) -> list[float]:
    """Return the chance that a run of ours needs fewer labels than one of theirs, and its interval."""
    minus = [[-labels for labels in scores] for scores in (ours, theirs)]
    return summary(probability_of_improvement, *minus)


def labels_of(curves: Mapping[str, Sequence[Curve]], name: str, target: float) -> NDArray[np.float64]:
    """Return the labels of each seed of a strategy."""
    return _labels(curves[name], target)[0]


def _labels(runs: Sequence[Curve], target: float) -> list[NDArray[np.float64]]:
    return [np.array([labels_to(run, target)[0] for run in runs], float)]


def summary(statistic: Any, *groups: Scores) -> list[float]:
    """Return a statistic and the ends of its interval."""
    return [round(value, 3) for value in (statistic(*groups), *interval(statistic, *groups))]
