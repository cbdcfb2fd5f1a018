"""DAgger: what the aggregation of labels buys.

    python -m benchmarks.dagger --part compounding    mistakes against the horizon, of cloning and of DAgger
    python -m benchmarks.dagger --part cloning        scores of cloning and of DAgger with as many labels, three tasks
    python -m benchmarks.dagger --part peer           labels to a normalised score of 0.95, ours and `imitation`'s

The peer runs in an environment of its own, made at the first run from `imitation.txt`; the goal is 30 % of its labels
on each task. Seeds from 10 on, because what is chosen in these files was chosen on others. The last line is one JSON
object; `passed` is null when the size is not the full one, or the part has no goal.
"""

import argparse
import json
import os
import platform
import sys

from policies.threads import use_threads

FIRST_SEED, FULL_SEEDS = 10, {"compounding": 10, "cloning": 5, "peer": 5}


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
        from benchmarks.dagger import compounding

        figures = compounding.measure(seeds)
        passed = figures["dagger"]["interval"][1] < figures["cloning"]["interval"][0]
    else:
        from benchmarks.dagger import against_peer, equal_labels
        from cluster.loop.local_ray import start_ray

        start_ray(cpus=2)
        if options.part == "cloning":
            figures = equal_labels.measure(seeds)
        else:
            figures = against_peer.measure(seeds)
            passed = against_peer.passed(figures)
    if count < full:
        passed = None
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    report = {"part": options.part, "seeds": seeds, **figures, "machine": machine, "passed": passed}
    print(json.dumps(report), flush=True)
    # Ray takes seconds to end, and nothing here needs it to.
    os._exit(1 if passed is False else 0)


if __name__ == "__main__":
    sys.exit(main())
