"""What a second is worth in each kind, and whether a mix is behind the best kind."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.intervals import interquartile_mean
from benchmarks.questions.labels import Curve, difference, mean_score, summary

MARGIN = 0.05
"""Of the normalised score: so little behind counts as not worse, for five seeds do not show less."""


def figures(curves: Mapping[str, Sequence[Curve]], *, mixes: Collection[str]) -> dict[str, Any]:
    """Return the curve, the mean score over all seconds and the last score of each arm, and how mixes compare.

    Args:
        curves: of the seeds, by arm; scores after so many seconds, the same ones in all of them.
        mixes: the arms that are no kind alone.
    """
    mean = {kind: [np.array([mean_score(run) for run in runs])] for kind, runs in curves.items()}
    last = {kind: [np.array([run[-1][1] for run in runs])] for kind, runs in curves.items()}
    found: dict[str, Any] = {
        kind: {
            "curve": middle_curve(runs),
            "mean_score": summary(interquartile_mean, mean[kind]),
            "score_at_the_end": summary(interquartile_mean, last[kind]),
            "mean_score_of_each": [round(float(score), 3) for score in mean[kind][0]],
        }
        for kind, runs in curves.items()
    }
    singles = [kind for kind in curves if kind not in mixes]
    for mix in mixes if singles else ():
        if mix in curves:
            best = max(singles, key=lambda kind: interquartile_mean(mean[kind]))
            found[mix]["beside_best"] = {
                "best": best,
                "mean_score": summary(difference, mean[mix], mean[best]),
                "score_at_the_end": summary(difference, last[mix], last[best]),
            }
    return found


def middle_curve(runs: Sequence[Curve]) -> list[list[float]]:
    """Return the interquartile mean of the scores of several runs after so many seconds each."""
    return [
        [float(points[0][0]), round(interquartile_mean([np.array([score for _, score in points])]), 3)]
        for points in zip(*runs, strict=True)
    ]


def passed(mix: Mapping[str, Any]) -> bool:
    """Whether a mix, by its figures, is behind the best kind by the margin at most, at the interval's lower end."""
    _, low, _ = mix["beside_best"]["mean_score"]
    return bool(low >= -MARGIN)
