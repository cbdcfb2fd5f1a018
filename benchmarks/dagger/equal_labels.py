"""DAgger against behaviour cloning with as many labels of the same expert, on the tasks of the peer's part.

Each is a run (`benchmarks.dagger.ours`), so that nothing differs but who acts while labels are gathered, and in how
many places.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.dagger import ours
from benchmarks.dagger.ours import FEWEST_LABELS, Snapshot, Way
from benchmarks.dagger.tasks import TASKS
from benchmarks.intervals import interval

FEW_LABELS = (80, 160, 320)
MOST_LABELS = 500
"""Up to which whole trajectories of the longest kind are budgets, too."""
_ROUND_LABELS = 40

DIFFERENCES = (("dagger", "cloning"), ("dagger_in_a_tenth", "cloning"), ("dagger_in_a_tenth", "trajectories"))


def ways(horizon: int) -> dict[str, Way]:
    """Return the ways to gather labels, by name.

    The first two are the same but for who acts from round 2 on. `trajectories` is cloning as it is mostly done, of one
    whole episode after another, with as many passes over the labels in all as there are in rounds of 40 labels.

    Args:
        horizon: steps after which an episode is cut.
    """
    return {
        "dagger": Way(schedule="indicator", envs=4, steps=_ROUND_LABELS // 4),
        "cloning": Way(schedule="always", envs=4, steps=_ROUND_LABELS // 4),
        "dagger_in_a_tenth": FEWEST_LABELS,
        "trajectories": Way(
            schedule="always", envs=1, steps=horizon, epochs=FEWEST_LABELS.epochs * horizon // _ROUND_LABELS
        ),
    }


def budgets(horizon: int) -> list[int]:
    """Return the numbers of labels at which ways are compared."""
    return sorted({*FEW_LABELS, *range(horizon, MOST_LABELS + 1, horizon)})


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return normalised scores by task, labels and way, one for each seed, and what DAgger is better by."""
    return {task: _of_task(task, seeds) for task in TASKS}


def _of_task(task: str, seeds: Sequence[int]) -> dict[int, Any]:
    horizon = TASKS[task].horizon
    at = budgets(horizon)
    scores = {
        name: [_scores(task, ours.rounds(task, way, seed=seed, most_labels=at[-1]), at) for seed in seeds]
        for name, way in ways(horizon).items()
    }
    figures = {
        labels: at_labels({name: [by_labels.get(labels) for by_labels in of] for name, of in scores.items()})
        for labels in at
    }
    print(json.dumps({task: figures}), file=sys.stderr, flush=True)
    return figures


def _scores(task: str, rounds: Iterable[Snapshot], at: Sequence[int]) -> dict[int, float]:
    """Return the normalised score at each budget that is large enough for a policy."""
    chosen = newest_within(at, rounds)
    scores = {snapshot.labels: ours.judge(task, snapshot).score for snapshot in chosen.values()}
    return {budget: scores[snapshot.labels] for budget, snapshot in chosen.items()}


def newest_within(at: Sequence[int], rounds: Iterable[Snapshot]) -> dict[int, Snapshot]:
    """Return by budget the last of the rounds, which come in order, with at most so many labels, if there is one."""
    newest: dict[int, Snapshot] = {}
    for snapshot in rounds:
        newest |= {budget: snapshot for budget in at if snapshot.labels <= budget}
    return newest


def at_labels(scores: dict[str, list[float | None]]) -> dict[str, Any]:
    """Return what there is to say of one budget.

    Args:
        scores: normalised, by way and seed; None where it has no policy yet.
    """
    known = {name: np.array(values, float) for name, values in scores.items() if None not in values}
    figures: dict[str, Any] = {name: [round(float(x), 3) for x in values] for name, values in known.items()}
    for one, other in DIFFERENCES:
        if one in known and other in known:
            figures[f"{one} - {other}"] = _paired(known[one] - known[other])
    return figures


def _paired(difference_S: Any) -> dict[str, Any]:
    around = interval(lambda scores: float(scores[0].mean()), [difference_S])
    return {
        "mean": round(float(difference_S.mean()), 3),
        "interval": [round(bound, 3) for bound in around],
    }
