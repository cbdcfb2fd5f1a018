"""How well PPO learns beside Stable-Baselines3's with its published tuned settings, at equal environment steps.

    python -m benchmarks.learning
    python -m benchmarks.learning --tasks CartPole-v1 --seeds 3 --results learning.jsonl

A run's score is the mean return of 20 greedy episodes after training, with fixed seeds, normalised between random
actions (0) and a published expert (1). Each run has a process of its own, the two sides taking turns on each seed.
We are not inferior on a task where the whole interval of the difference between the interquartile means lies above
-0.05. On CartPole-v1 also: environment steps and seconds of training until the last 100 episodes of training have a
mean of 475; and beside it until 20 greedy episodes have one, judged afterwards on the policies that each run handed
out on its way.

With `--results` an interrupted benchmark goes on where it was. The peer comes with the extra `bench`, HalfCheetah and
Hopper with `mujoco`. The last line is one JSON object; `passed` is null when the size is not the full one.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.intervals import interquartile_mean, interval, probability_of_improvement
from benchmarks.learning.contenders import CONTENDERS, Snapshot
from benchmarks.learning.tasks import TASKS

EPISODES, EVALUATION_SEED = 20, 1_000_000
MARGIN = 0.05
REACHED_WITHIN_STEPS, TIME_RATIO = 100_000, 0.1

Row = dict[str, Any]


def measure(contender: str, env_id: str, seed: int, env_steps: int) -> Row:
    """Train once in this process, and judge what came of it."""
    task, start = TASKS[env_id], time.perf_counter()
    snapshots = CONTENDERS[contender](env_id, task, seed, env_steps)
    last = snapshots[-1]
    row: Row = {
        "env_steps": last.env_steps,
        "seconds": round(last.seconds, 3),
        "wall_seconds": round(time.perf_counter() - start, 1),
        "score": greedy_return(env_id, last),
        "training_return": last.training_return,
    }
    if task.reached is not None:
        goal = task.reached
        row["training"] = first_at_goal(snapshots, lambda s: (s.training_return or 0.0) >= goal)
        row["greedy"] = first_at_goal(snapshots, lambda s: greedy_return(env_id, s) >= goal)
    return row


def first_at_goal(snapshots: list[Snapshot], reached: Callable[[Snapshot], bool]) -> Row:
    """Say when a run first reached its goal; no steps and all its seconds where it never did."""
    first = next(filter(reached, snapshots), None)
    return {
        "steps": first.env_steps if first else None,
        "seconds": round((first or snapshots[-1]).seconds, 3),
    }


def greedy_return(env_id: str, snapshot: Snapshot) -> float:
    """Mean return of the same greedy episodes for everybody."""
    from cluster.loop.evaluation import evaluate
    from cluster.runs.config import EnvironmentConfig

    environment = EnvironmentConfig(id=env_id)
    returns = evaluate(snapshot.policy, environment, episodes=EPISODES, seed=EVALUATION_SEED)
    return statistics.fmean(returns)


def in_process_of_its_own(contender: str, env_id: str, seed: int, env_steps: int) -> Row:
    """Run one side on one seed in a new process."""
    words = [
        "--contender",
        contender,
        "--tasks",
        env_id,
        "--first-seed",
        str(seed),
        "--steps",
        str(env_steps),
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.learning", *words], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{contender} failed on {env_id}:\n{ended.stderr[-3000:]}")
    row: Row = json.loads(ended.stdout.splitlines()[-1])
    return row


def all_runs(asked: dict[str, tuple[range, int]], results: Path | None) -> list[Row]:
    """Do every run that the file of results lacks; `asked` has each task's seeds and steps."""
    known = (
        [json.loads(line) for line in results.read_text().splitlines()]
        if results and results.exists()
        else []
    )
    done = {tuple(row["key"]): row for row in known}
    rows = []
    for env_id, (seeds, env_steps) in asked.items():
        for seed in seeds:
            for contender in CONTENDERS:
                key = (contender, env_id, seed, env_steps, TASKS[env_id].digest(contender))
                if key not in done:
                    done[key] = {"key": key, **in_process_of_its_own(contender, env_id, seed, env_steps)}
                    print(json.dumps(done[key]), file=sys.stderr, flush=True)
                    if results:
                        with results.open("a") as file:
                            file.write(json.dumps(done[key]) + "\n")
                rows.append({"contender": contender, "env_id": env_id, "seed": seed, **done[key]})
    return rows


def _pair(rows: list[Row], name: str) -> tuple[list[Any], list[Any]]:
    ours, theirs = ([row[name] for row in rows if row["contender"] == side] for side in CONTENDERS)
    return ours, theirs


def compare(task_scores: list[tuple[list[float], list[float]]]) -> Row:
    """Compare normalised scores, of one task or of several."""
    import numpy as np

    ours = [np.array(scores) for scores, _ in task_scores]
    theirs = [np.array(scores) for _, scores in task_scores]

    def difference(one: Any, other: Any) -> float:
        return interquartile_mean(one) - interquartile_mean(other)

    figures: dict[str, tuple[Callable[..., float], tuple[list[Any], ...]]] = {
        "ours": (interquartile_mean, (ours,)),
        "sb3": (interquartile_mean, (theirs,)),
        "difference": (difference, (ours, theirs)),
        "probability_of_improvement": (probability_of_improvement, (ours, theirs)),
    }
    return {
        name: [round(value, 4) for value in (statistic(*groups), *interval(statistic, *groups))]
        for name, (statistic, groups) in figures.items()
    }


def until_goal(rows: list[Row], kind: str) -> Row:
    """What it took to reach a task's goal."""
    ours, theirs = _pair(rows, kind)
    ours_s, theirs_s = (statistics.median(run["seconds"] for run in side) for side in (ours, theirs))
    steps = [run["steps"] for run in ours]
    return {
        "steps": {"ours": steps, "sb3": [run["steps"] for run in theirs]},
        "median_seconds": {"ours": ours_s, "sb3": theirs_s},
        "time_ratio": round(ours_s / theirs_s, 4),
        "reached_in_time": sum(s is not None and s <= REACHED_WITHIN_STEPS for s in steps),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def summary(asked: dict[str, tuple[range, int]], rows: list[Row]) -> tuple[Row, bool]:
    """Return the figures, and whether every goal is met."""
    figures: Row = {"tasks": {}}
    scores, met = [], True
    for env_id in asked:
        task, of_task = TASKS[env_id], [row for row in rows if row["env_id"] == env_id]
        raw = _pair(of_task, "score")
        ours, theirs = ([task.normalised(score) for score in side] for side in raw)
        scores.append((ours, theirs))
        compared = compare([scores[-1]])
        met &= compared["difference"][1] >= -MARGIN
        figures["tasks"][env_id] = {**compared, "returns": dict(zip(CONTENDERS, raw, strict=True))}
        if task.reached is not None:
            until = {kind: until_goal(of_task, kind) for kind in ("training", "greedy")}
            figures["tasks"][env_id]["until_goal"] = until
            met &= until["training"]["reached_in_time"] == len(asked[env_id][0])
            met &= until["training"]["time_ratio"] <= TIME_RATIO
    figures["all_tasks"] = compare(scores)
    figures["env_steps"] = {env_id: steps for env_id, (_, steps) in asked.items()}
    figures["versions"] = {
        name: _version(name) for name in ("torch", "ray", "stable-baselines3", "gymnasium", "mujoco", "numpy")
    }
    figures["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
    return figures, met


def main() -> int:
    """Run the benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, help="for each task; the task's own number by default")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="environment steps; the task's own number by default")
    parser.add_argument("--results", type=Path, help="a file of results that is gone on with")
    parser.add_argument("--contender", choices=CONTENDERS, help="do one run and print its figures")
    options = parser.parse_args()
    asked = {}
    for env_id in options.tasks:
        task = TASKS[env_id]
        seeds = range(options.first_seed, options.first_seed + (options.seeds or task.seeds))
        asked[env_id] = (seeds, options.steps or task.env_steps)
    if options.contender:
        (env_id,) = options.tasks
        print(
            json.dumps(measure(options.contender, env_id, options.first_seed, asked[env_id][1])), flush=True
        )
        os._exit(0)  # Ray takes seconds to end, and nothing here needs it to.
    print(json.dumps({env_id: steps for env_id, (_, steps) in asked.items()}), file=sys.stderr)
    figures, met = summary(asked, all_runs(asked, options.results))
    full = len(asked) == len(TASKS) and all(
        len(seeds) >= TASKS[env_id].seeds and steps >= TASKS[env_id].env_steps
        for env_id, (seeds, steps) in asked.items()
    )
    goal = {
        "difference_at_least": -MARGIN,
        "reached_within_steps": REACHED_WITHIN_STEPS,
        "time_ratio_at_most": TIME_RATIO,
    }
    passed = met if full else None
    print(json.dumps({"name": "learning", "goal": goal, "figures": figures, "passed": passed}))
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
