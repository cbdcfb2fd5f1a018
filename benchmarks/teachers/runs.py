"""What teachers who err cost: whole runs in lockstep on CartPole, each kind against the oracle.

A score is normalised: 0 is a random policy's true return, 1 the most there is. Of the six teachers of B-Pref each
teaches alone. Of a company of five one is an adversary, and the run is made twice: with teachers weighed while it
learns, and with all taken for alike; both share as many questions. All have 340 answers in the 1,000,000 steps of the
run file, more than three times what the oracle needs, so that what is compared is who answers and not what was asked:
with 190, the run of a teacher who errs in a tenth misses on two seeds of eight. Figures are means over seeds, with
their bootstrap intervals of 95 %.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.intervals import Scores, interval
from benchmarks.preferences import train
from hitl.teachers.kinds import B_PREF

RUN_FILE = "cartpole_comparisons.yaml"
RANDOM, MOST = 22.0, 500.0
"""True returns in 500 steps: of random actions, and of a pole that never falls."""
SETTINGS = (
    *("--teachers.count", "0", "--reward.questions.budget", "400", "--reward.questions.per_round", "20"),
    *("--goal.true_return", "null", "--goal.comparisons", "null", "--goal.wall_seconds", "null"),
)
SHARED = ("--reward.questions.duplicates", "0.1")
FEATURE_NOISE = "alike"
CROWDS: dict[str, tuple[str, ...]] = {
    **{kind: ("--teachers.crowd", f"[{{kind: {kind}}}]") for kind in (*B_PREF, FEATURE_NOISE)},
    **{
        f"adversaries 0.2, {name}": (
            *("--teachers.crowd", "[{kind: oracle, count: 4}, {kind: adversary}]", *SHARED),
            *("--reward.model.teachers.weighted", weighted),
        )
        for name, weighted in (("weighted", "true"), ("plain", "false"))
    },
    "five oracles, shared": ("--teachers.crowd", "[{kind: oracle, count: 5}]", *SHARED),
}
"""The settings of each crowd, by name."""
ORACLE = "oracle"


def normalised(true_return: float) -> float:
    """Return a score from 0, a random policy, to 1."""
    return (true_return - RANDOM) / (MOST - RANDOM)


def measure(names: list[str], *, seeds: int, first_seed: int, jobs: int) -> dict[str, Any]:
    """Run each crowd with each seed, so many at a time; returns their scores, beside the oracle's."""
    wanted = [(name, seed) for seed in range(first_seed, first_seed + seeds) for name in names]
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(lambda one: _run(*one), wanted))
    scores = {name: np.array([run["score"] for run in runs if run["crowd"] == name]) for name in names}
    of_oracle = {
        name: _told(_ratio, [score], [scores[ORACLE]]) for name, score in scores.items() if ORACLE in scores
    }
    return {
        "scores": {name: _told(_mean, [score]) for name, score in scores.items()},
        "of_oracles_score": of_oracle or None,
        "runs": runs,
    }


def _run(name: str, seed: int) -> dict[str, Any]:
    summary = train(RUN_FILE, "--seed", str(seed), *SETTINGS, *CROWDS[name])
    kept = (
        "seed",
        "true_return_mean",
        "comparisons",
        "teacher_agreement",
        "flagged_teachers",
        "wall_seconds",
    )
    judged = ("accuracy", "log_loss")
    beside = [f"{model}heldout_{figure}" for figure in judged for model in ("", "plain_")]
    run = {"crowd": name, **{key: summary.get(key) for key in (*kept, *beside)}}
    run["score"] = normalised(summary["true_return_mean"])
    print(json.dumps(run), file=sys.stderr, flush=True)
    return run


def _mean(scores: Scores) -> float:
    return float(scores[0].mean())


def _ratio(scores: Scores, oracles: Scores) -> float:
    return _mean(scores) / _mean(oracles)


def _told(statistic: Callable[..., float], *groups: Scores) -> list[float]:
    """Return a statistic and the ends of its interval."""
    return [round(value, 4) for value in (statistic(*groups), *interval(statistic, *groups))]
