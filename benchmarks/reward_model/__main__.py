"""What the reward model costs.

    python -m benchmarks.reward_model

refresh: ten new answers at 500, the CPU time of our fit beside the retraining of `imitation`'s preference comparisons
on the same answers, and the log-loss of both on answers that neither saw; at most a fifth, within 2 %. latency: from a
label's receipt to a published version that has learnt it, through the service and a reward trainer; p95 at most 250 ms.
relabelling: floating-point operations a second, beside those of the network's matrix products alone; at least 60 %.
Figures of time are worth something only where nothing else runs. The last line is one JSON object; `passed` is null
where not everything was measured.
"""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from typing import Any

from benchmarks.reward_model import latency, refresh, relabelling
from cluster.loop.local_ray import start_ray
from policies.threads import use_threads

PARTS = ("refresh", "latency", "relabelling")
FULL_SEEDS = 5


def main() -> int:
    """Measure what is asked for; returns 1 where a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--labels", type=int, default=latency.LABELS, help="whose latency is measured")
    parser.add_argument("--seeds", type=int, default=FULL_SEEDS, help="of the refresh")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    use_threads(1)
    figures: dict[str, Any] = {}
    passed = True
    if "relabelling" in options.parts:
        figures["relabelling"] = relabelling.measure()
        passed &= relabelling.passed(figures["relabelling"])
    if "refresh" in options.parts:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        figures["refresh"] = refresh.measure(seeds)
        passed &= refresh.passed(figures["refresh"])
    if "latency" in options.parts:
        start_ray(cpus=1)
        figures["latency"] = latency.measure(options.first_seed, options.labels)
        passed &= latency.passed(figures["latency"])
    figures |= {
        "versions": {package: version(package) for package in ("torch", "numpy", "ray", "grpcio")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    full = (
        set(options.parts) == set(PARTS) and options.seeds >= FULL_SEEDS and options.labels >= latency.LABELS
    )
    goals = {
        "refresh": {"seconds": refresh.MOST_SHARE, "log_loss": refresh.MOST_LOSS},
        "latency": {"p95_ms": latency.MOST_P95_MS},
        "relabelling": {"share": relabelling.LEAST_SHARE},
    }
    print(
        json.dumps(
            {"name": "reward_model", "goal": goals, "figures": figures, "passed": passed if full else None}
        )
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
