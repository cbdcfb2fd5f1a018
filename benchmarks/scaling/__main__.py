"""How sampling grows with the number of env runners.

    python -m benchmarks.scaling [--quick]
    python -m benchmarks.scaling --costs

PPO on the environment's reward with overlapped sampling and learning and 128 steps a rollout, as `HITLConfig` does it
by default. Each env runner steps four environments one after the other, whose steps sleep 5 ms and cost next to no
processor, so that many fit on a few cores. Efficiency is environment steps a second over what the environments would
give if nothing else took any time: env runners / 5 ms; the median of five blocks of updates. Sleeps end late, the more
so the more processes sleep; so beside it stands efficiency over as many processes that do nothing but step one
environment each, measured right before and right after. Ray's start and the first updates are not counted. `--costs`
measures what docs/scaling.md reckons with.
The last line is one JSON object; `passed` is null when the size is not the full one.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from typing import Any

from benchmarks.scaling import costs, efficiency
from benchmarks.scaling.sleeping import STEP_SECONDS
from cluster.loop.local_ray import start_ray
from policies.threads import use_threads

FULL_COUNTS, FULL_UPDATES = [1, 2, 4, 8, 16], 15
QUICK_COUNTS, QUICK_UPDATES = [1, 4], 5
GOAL = 0.9


def main() -> int:
    """Run the benchmark; 0 unless the goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env-runners", type=int, nargs="+", help="numbers of env runners to try")
    parser.add_argument(
        "--environments", type=int, default=efficiency.ENVIRONMENTS, help="of each env runner"
    )
    parser.add_argument("--updates", type=int, help="that are measured, with each number")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_COUNTS} env runners, {QUICK_UPDATES} updates"
    )
    parser.add_argument("--costs", action="store_true", help="measure single costs instead")
    options = parser.parse_args()
    counts = options.env_runners or (QUICK_COUNTS if options.quick else FULL_COUNTS)
    updates = options.updates or (QUICK_UPDATES if options.quick else FULL_UPDATES)
    use_threads(1)
    start_ray(cpus=max(counts) + 1)
    if options.costs:
        return _print("scaling_costs", None, costs.measure(), None)
    rows = []
    for count in counts:
        before = efficiency.bare(count)
        row = efficiency.measure(count, environments=options.environments, updates=updates)
        bare = [before, efficiency.bare(count)]
        row["bare_efficiency"] = [round(speed * STEP_SECONDS / count, 3) for speed in bare]
        row["efficiency_over_bare"] = round(row["steps_per_second"] / statistics.mean(bare), 3)
        rows.append(row)
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    least = min(row["efficiency"] for row in rows)
    figures = {
        "least_efficiency": least,
        "by_env_runners": rows,
        "nominal_steps_per_second": 1 / STEP_SECONDS,
        "environments": options.environments,
        "updates": updates,
    }
    full_sized = updates >= FULL_UPDATES and options.environments == efficiency.ENVIRONMENTS
    full = full_sized and set(counts) >= set(FULL_COUNTS)
    goal = {"least_efficiency": GOAL, "env_runners": FULL_COUNTS}
    return _print("scaling", goal, figures, least >= GOAL if full else None)


def _print(name: str, goal: Any, figures: dict[str, Any], passed: bool | None) -> int:
    figures |= {
        "versions": {package: version(package) for package in ("ray", "torch", "numpy", "gymnasium")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps({"name": name, "goal": goal, "figures": figures, "passed": passed}), flush=True)
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
