"""What helps a critic when the reward changes, and what exploring before any label covers.

    python -m benchmarks.reward_change
    python -m benchmarks.reward_change --parts coverage --seeds 5

`changes` trains through five changes of a reward with nothing, with PopArt, with the critic's warm-up, and with both;
`coverage` counts the cells of a plane of states that are visited without any reward but novelty. Each seed of one arm
takes a few seconds; nothing runs in parallel. Figures are interquartile means over seeds with 95 % bootstrap intervals;
differences are between runs of the same seed, less those with `pop_art`, which is the default. The last line is one
JSON object.
"""

import argparse
import itertools
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.intervals import interquartile_mean, interval

SEEDS, DEFAULT = 5, "pop_art"
PARTS = ("changes", "coverage")


def told(values: Sequence[float]) -> dict[str, Any]:
    """Return what runs come to, with an interval and each of them."""
    runs = [np.array(values)]
    around = interval(interquartile_mean, runs)
    return {
        "interquartile_mean": round(interquartile_mean(runs), 3),
        "interval": [round(bound, 3) for bound in around],
        "runs": [round(value, 3) for value in values],
    }


def changes(seeds: range, tasks: Sequence[str]) -> dict[str, Any]:
    """Return figures of all arms on all changes, and how they differ from the default's."""
    from benchmarks.reward_change.changes import ARMS, CHANGES, run

    runs: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        for task, change, arm in itertools.product(tasks, CHANGES, ARMS):
            ended = run(task, change, arm, seed=seed)
            runs.setdefault(f"{task} {change} {arm}", []).append(ended)
            print(
                json.dumps({"task": task, "change": change, "arm": arm, "seed": seed} | ended),
                file=sys.stderr,
            )
    figures: dict[str, Any] = {}
    for name, ours in runs.items():
        default = runs[f"{name.rpartition(' ')[0]} {DEFAULT}"]
        figures[name] = {measure: told([one[measure] for one in ours]) for measure in ours[0]}
        figures[name]["more_true_reward_than_default"] = told(
            [own["true_reward"] - other["true_reward"] for own, other in zip(ours, default, strict=True)]
        )
    return figures


def coverage(seeds: range) -> dict[str, Any]:
    """Return the share of cells visited in the end, with and without exploration."""
    from benchmarks.reward_change.coverage import WORLDS, covered

    figures: dict[str, Any] = {}
    for world in WORLDS:
        for explores, name in ((True, "state_entropy"), (False, "untrained")):
            runs = [covered(world, explores=explores, seed=seed) for seed in seeds]
            figures[f"{world} {name}"] = told([shares[-1] for shares in runs])
            print(world, name, json.dumps(figures[f"{world} {name}"]), file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Run the benchmark."""
    from benchmarks.reward_change.changes import TASKS
    from policies.threads import use_threads

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    use_threads(1)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    figures: dict[str, Any] = {}
    if "changes" in options.parts:
        figures["changes"] = changes(seeds, options.tasks)
    if "coverage" in options.parts:
        figures["coverage"] = coverage(seeds)
    figures |= {
        "seeds": len(seeds),
        "versions": {name: version(name) for name in ("torch", "gymnasium")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps({"name": "reward_change", "goal": None, "figures": figures, "passed": None}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
