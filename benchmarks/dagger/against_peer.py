"""Labels to a normalised score, ours and the peer's, seed by seed in turns."""

import json
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.dagger import ours, peer
from benchmarks.dagger.tasks import TARGET, TASKS, labels_to

MOST_RATIO = 0.3
"""Of our labels to theirs, on each task."""
OUR_MOST_LABELS = 2_000
PACKAGES = ("ray", "torch", "gymnasium", "numpy")


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return the labels that either side needs on each task; None where a seed never gets there."""
    figures: dict[str, Any] = {"versions": {"ours": {name: version(name) for name in PACKAGES}}}
    for task in TASKS:
        mine: list[int | None] = []
        theirs: list[int | None] = []
        for seed in seeds:
            rounds = ours.run(task, ours.FEWEST_LABELS, seed=seed, most_labels=OUR_MOST_LABELS)
            mine.append(labels_to(TARGET, rounds))
            run = peer.run(task, peer.FEWEST_LABELS, seed=seed)
            theirs.append(labels_to(TARGET, run.rounds))
            figures["versions"]["peer"] = run.versions
        figures[task] = compared(mine, theirs)
        print(json.dumps({task: figures[task]}), file=sys.stderr, flush=True)
    return figures


def compared(mine: Sequence[int | None], theirs: Sequence[int | None]) -> dict[str, Any]:
    """Return labels seed by seed, their means, and the ratio of means; None where a seed never got there."""
    figures: dict[str, Any] = {"ours": list(mine), "peer": list(theirs), "means": None, "ratio": None}
    our_labels, their_labels = ([count for count in side if count is not None] for side in (mine, theirs))
    if len(our_labels) == len(mine) and len(their_labels) == len(theirs):
        our_mean, their_mean = statistics.fmean(our_labels), statistics.fmean(their_labels)
        figures |= {"means": [our_mean, their_mean], "ratio": round(our_mean / their_mean, 4)}
    return figures


def passed(figures: dict[str, Any]) -> bool:
    """Whether the ratio is small enough on each task."""
    ratios = [figures[task]["ratio"] for task in TASKS]
    return all(ratio is not None and ratio <= MOST_RATIO for ratio in ratios)
