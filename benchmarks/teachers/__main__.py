"""Teachers who err: how soon they are flagged, and what they cost.

    python -m benchmarks.teachers flags
    python -m benchmarks.teachers runs --seeds 5

`flags` is a simulation of at least 1,000 teachers without any learning, some minutes. `runs` are whole runs, about
a minute each; `--crowds` picks some of them. The last line is one JSON object; `passed` is null when the size is not
the full one.
"""

import argparse
import json
import os
import platform
import sys
from typing import Any

from benchmarks.teachers import flags, runs
from hitl.reliability.settings import ReliabilitySettings
from hitl.teachers.kinds import B_PREF

FULL_TEACHERS, FULL_SEEDS = 1000, 5
HONEST_FLAGGED_AT_MOST = 0.01
ADVERSARIES_FLAGGED_AT_LEAST = 0.95
SCORE_AT_LEAST = 0.9


def measure_flags(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], bool | None]:
    """Return the goal, the figures and whether it is met."""
    companies = -(-options.teachers // flags.COMPANY)
    found = {
        worse: flags.simulate(worse, companies=companies, shared=options.shared, seed=options.first_seed)
        for worse in flags.WORSE
    }
    settings = ReliabilitySettings()
    figures = {
        "honest": f"right in at least {settings.accuracy:g} of the shared questions that both decide, the same side in "
        f"at most {settings.side_share:g} of answers, faster than {settings.look_seconds:g} s in at most "
        f"{settings.fast_share:g} of them; here drawn from: {', '.join(flags.HONEST)}",
        "companies": f"of {flags.COMPANY}, one of them not honest; {options.shared} shared questions each",
        "simulations": found,
    }
    goal = {
        "teachers": FULL_TEACHERS,
        "honest_flagged_at_most": HONEST_FLAGGED_AT_MOST,
        f"adversaries_flagged_within_{flags.WITHIN}_shared_at_least": ADVERSARIES_FLAGGED_AT_LEAST,
    }
    within = found["adversary"][f"flagged_share_within_{flags.WITHIN}_shared"].get("adversary", 0.0)
    met = within >= ADVERSARIES_FLAGGED_AT_LEAST and all(
        one["honest_flagged_share"] <= HONEST_FLAGGED_AT_MOST for one in found.values()
    )
    return goal, figures, met if options.teachers >= FULL_TEACHERS else None


def measure_runs(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], bool | None]:
    """Return the goal, the figures and whether it is met."""
    names = options.crowds or list(runs.CROWDS)
    figures = runs.measure(names, seeds=options.seeds, first_seed=options.first_seed, jobs=options.jobs)
    goal = {"seeds": FULL_SEEDS, "of_oracles_score_at_least": SCORE_AT_LEAST, "of": "the six, and weighted"}
    full = options.seeds >= FULL_SEEDS and set(names) == set(runs.CROWDS)
    asked = (*B_PREF, "adversaries 0.2, weighted")
    met = full and all(figures["of_oracles_score"][name][0] >= SCORE_AT_LEAST for name in asked)
    return goal, figures, met if full else None


def main() -> int:
    """Run a benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("flags", "runs"))
    parser.add_argument("--teachers", type=int, default=FULL_TEACHERS, help="of each simulation of flags")
    parser.add_argument("--shared", type=int, default=60, help="questions that each of them shares")
    parser.add_argument("--seeds", type=int, default=FULL_SEEDS)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; seconds mean nothing then")
    parser.add_argument("--crowds", nargs="*", choices=runs.CROWDS, metavar="CROWD")
    options = parser.parse_args()
    goal, figures, passed = (measure_flags if options.what == "flags" else measure_runs)(options)
    figures["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
    print(
        json.dumps({"name": f"teachers_{options.what}", "goal": goal, "figures": figures, "passed": passed})
    )
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
