"""DAgger: what the aggregation of labels buys.

    python -m benchmarks.dagger --part compounding    mistakes against the horizon, of cloning and of DAgger
    python -m benchmarks.dagger --part peer           labels that `imitation` needs to a normalised score of 0.95

The peer runs in an environment of its own, made at the first run from `imitation.txt`; its versions are printed. Seeds
from 10 on, because what is chosen in these files was chosen on others. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import sys
from typing import Any

import numpy as np

from benchmarks.dagger import compounding, peer
from benchmarks.dagger.tasks import TARGET, TASKS, labels_to
from policies.threads import use_threads

FIRST_SEED, FULL_SEEDS = 10, {"compounding": 10, "peer": 5}


def of_peer(seeds: list[int]) -> dict[str, Any]:
    """Return the labels that the peer needs on each task, seed by seed, and their mean; None: it never got there."""
    figures: dict[str, Any] = {}
    for task in TASKS:
        runs = [peer.run(task, peer.FEWEST_LABELS, seed=seed) for seed in seeds]
        labels = [labels_to(TARGET, [(r.labels, r.score) for r in run.rounds]) for run in runs]
        reached = [count for count in labels if count is not None]
        figures[task] = {
            "labels": labels,
            "mean": round(float(np.mean(reached)), 1) if len(reached) == len(labels) else None,
            "versions": runs[0].versions,
        }
        print(json.dumps({task: figures[task]}), file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Run a part; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=FULL_SEEDS, default="compounding")
    parser.add_argument("--seeds", type=int, help="how many; the full size by default")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options = parser.parse_args()
    use_threads(1)
    full = FULL_SEEDS[options.part]
    count = options.seeds or full
    seeds = list(range(options.first_seed, options.first_seed + count))
    passed: bool | None = None
    if options.part == "compounding":
        figures = compounding.measure(seeds)
        grows_less = figures["dagger"]["interval"][1] < figures["cloning"]["interval"][0]
        passed = grows_less if count >= full else None
    else:
        figures = of_peer(seeds)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(json.dumps({"part": options.part, "seeds": seeds, **figures, "machine": machine, "passed": passed}))
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
