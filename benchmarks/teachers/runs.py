"""What teachers who err cost: whole runs in lockstep on CartPole, each kind against the oracle.

A score is normalised: 0 is a random policy's true return, 1 the most there is. Of the six teachers of B-Pref each
teaches alone. Of a company of five one is an adversary, and the run is made twice: with teachers weighed while it
learns, and with all taken for alike; both share as many questions.
"""

import json
import sys
from statistics import mean
from typing import Any

from benchmarks.preferences import train
from hitl.teachers.kinds import B_PREF

RUN_FILE = "cartpole_comparisons.yaml"
RANDOM, MOST = 22.0, 500.0
"""True returns in 500 steps: of random actions, and of a pole that never falls."""
SETTINGS = (
    *("--stop.env_steps", "300000", "--reward.questions.round_env_steps", "16000", "--teachers.count", "0"),
    *("--goal.true_return", "null", "--goal.wall_seconds", "null"),
)
SHARED = ("--reward.questions.duplicates", "0.3", "--reward.questions.gold", "0.1")
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


def measure(names: list[str], *, seeds: int, first_seed: int) -> dict[str, Any]:
    """Run each crowd with each seed; returns their scores, beside the oracle's."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in range(first_seed, first_seed + seeds):
        for name in names:
            summary = train(RUN_FILE, "--seed", str(seed), *SETTINGS, *CROWDS[name])
            kept = ("seed", "true_return_mean", "comparisons", "teacher_agreement", "flagged_teachers")
            beside = (
                "heldout_accuracy",
                "plain_heldout_accuracy",
                "heldout_log_loss",
                "plain_heldout_log_loss",
            )
            run = {key: summary.get(key) for key in (*kept, *beside, "wall_seconds")}
            runs[name].append(run | {"score": normalised(summary["true_return_mean"])})
            print(json.dumps({"crowd": name} | runs[name][-1]), file=sys.stderr, flush=True)
    scores = {name: mean(run["score"] for run in found) for name, found in runs.items()}
    oracle = scores.get(ORACLE)
    return {
        "scores": scores,
        "of_oracles_score": {name: score / oracle for name, score in scores.items()} if oracle else None,
        "runs": runs,
    }
