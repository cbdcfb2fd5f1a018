"""How well a policy learns a task from comparisons alone.

    python -m benchmarks.preferences --task cartpole --seeds 5
    python -m benchmarks.preferences --task pendulum --seeds 5

Each seed is one whole run in lockstep, through `handrail train`: simulated teachers answer over gRPC, and the
environment's reward is hidden from learner and reward trainer. For pendulum, PPO on the true reward in as many steps
stands beside it. The last line is one JSON object; `passed` is null when the size is not the full one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = Path(__file__).parent.parent / "deploy" / "runs"
FULL_SEEDS = 5
ENVIRONMENT_REWARD = (
    "--reward.sources.environment",
    "1",
    "--reward.sources.learned",
    "0",
    "--teachers.count",
    "0",
)


@dataclass(frozen=True, slots=True)
class Task:
    """A run file, what is set otherwise in lockstep, and what each of its seeds must reach."""

    run_file: str
    settings: tuple[str, ...]
    comparisons: int
    true_return: float | None
    """At least; None where there is no bar and PPO on the true reward stands beside it."""
    wall_seconds: float | None


TASKS = {
    "cartpole": Task(
        "cartpole_comparisons.yaml",
        # The reward never lags behind the policy, so fewer steps do.
        (
            *("--stop.env_steps", "300000", "--reward.questions.round_env_steps", "16000"),
            *("--reward.questions.strategy", "disagreement"),
        ),
        comparisons=100,
        true_return=475.0,
        wall_seconds=120.0,
    ),
    "pendulum": Task("pendulum_comparisons.yaml", (), comparisons=500, true_return=None, wall_seconds=None),
}


def train(run_file: str, *settings: str) -> dict[str, Any]:
    """Do one run in a folder of its own; returns its summary."""
    with tempfile.TemporaryDirectory() as folder:
        summary: dict[str, Any] = json.loads(
            (train_in(Path(folder), run_file, *settings) / "summary.json").read_text()
        )
        return summary


def train_in(runs_folder: Path, run_file: str, *settings: str) -> Path:
    """Do one run in lockstep; returns its folder."""
    command = [sys.executable, "-m", "cluster.cli.main", "train", str(RUNS / run_file)]
    # In lockstep nothing overlaps, so the environments may as well be stepped inside the driver.
    lockstep = ["--runs_folder", str(runs_folder), "--mode", "lockstep", "--rollouts.env_runners", "0"]
    ended = subprocess.run([*command, *lockstep, *settings], check=False, stdout=sys.stderr)
    summaries = list(runs_folder.glob("*/summary.json"))
    if not summaries:
        raise SystemExit(f"the run ended with exit code {ended.returncode} and without a summary")
    return summaries[0].parent


def reached(task: Task, summary: dict[str, Any]) -> bool:
    """Whether a run keeps to every bound of its task."""
    return (
        summary["comparisons"] <= task.comparisons
        and (task.true_return is None or summary["true_return_mean"] >= task.true_return)
        and (task.wall_seconds is None or summary["wall_seconds"] <= task.wall_seconds)
    )


def main() -> int:
    """Run the benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=TASKS, default="cartpole")
    parser.add_argument("--seeds", type=int, default=FULL_SEEDS)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    task = TASKS[options.task]
    runs = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        summary = train(task.run_file, "--seed", str(seed), *task.settings)
        run = {
            key: summary[key]
            for key in (
                "seed",
                "true_return_mean",
                "comparisons",
                "env_steps",
                "wall_seconds",
                "heldout_accuracy",
            )
        }
        if task.true_return is None:
            beside = train(task.run_file, "--seed", str(seed), *ENVIRONMENT_REWARD)
            run["true_return_mean_on_true_reward"] = beside["true_return_mean"]
        runs.append(run | {"reached": reached(task, summary)})
        print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    full = options.seeds >= FULL_SEEDS
    passed = all(run["reached"] for run in runs) if full else None
    goal = {
        "seeds": FULL_SEEDS,
        "comparisons_at_most": task.comparisons,
        "true_return_at_least": task.true_return,
        "wall_seconds_at_most": task.wall_seconds,
    }
    figures = {
        "seeds_reached": sum(run["reached"] for run in runs),
        "runs": runs,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    name = f"preferences_{options.task}"
    print(json.dumps({"name": name, "goal": goal, "figures": figures, "passed": passed}))
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
