"""How fast signals teach, where the teacher is a program with a person's delays.

    python -m benchmarks.tamer --task tetris
    python -m benchmarks.tamer --task mountaincar
    python -m benchmarks.tamer --task dial          a network, in the place of features chosen for the task

Teacher and learner share a clock that is only counted, so an hour of teaching takes seconds. The teacher judges by a
hidden evaluator, named in the output, at most once a piece or a second; it reacts late, misses and errs. The last line
is one JSON object; `passed` is null when the size is not the full one.

Tetris stands beside 65.89 lines at game 3, which people reached as teachers (Knox and Stone 2009): a program is a
proxy for them. The dial has no figure of others: it stands for what people would watch a network fail to learn.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np

from benchmarks.intervals import interval
from benchmarks.tamer import dial, mountaincar, tetris
from policies.threads import use_threads

FULL_SEEDS = {"tetris": 5, "mountaincar": 5, "dial": 16}
LINES_GOAL = 65.89


def of_tetris(seeds: list[int]) -> dict[str, Any]:
    """Lines by game, over the seeds."""
    runs = [_shown(tetris.lines_by_game(seed)) for seed in seeds]
    third = np.array([run["lines"][tetris.GAMES - 1] for run in runs], np.float64)
    return {
        "evaluator": tetris.EVALUATOR,
        "features": tetris.FEATURES,
        "lines_at_most": tetris.MOST_LINES,
        "lines_at_game_3": round(float(third.mean()), 2),
        "interval": interval(lambda scores: float(scores[0].mean()), [third]),
        "goal": LINES_GOAL,
        "passed": bool(third.mean() >= LINES_GOAL),
        "runs": runs,
    }


def of_mountain_car(seeds: list[int]) -> dict[str, Any]:
    """Steps to the goal, over the seeds, of each way to learn."""
    ways = {
        "delay_density": mountaincar.taught,
        "current_step": mountaincar.on_the_current_step,
        "sarsa": mountaincar.sarsa,
    }
    runs = {way: [_shown({"way": way, **learn(seed)}) for seed in seeds] for way, learn in ways.items()}
    steps = {way: np.array([run["steps"] for run in of_way], np.float64) for way, of_way in runs.items()}

    def faster(ours: Any, theirs: Any) -> float:
        return float(theirs[0].mean() - ours[0].mean())

    won = {way: interval(faster, [steps["delay_density"]], [steps[way]]) for way in ("current_step", "sarsa")}
    return {
        "evaluator": mountaincar.EVALUATOR,
        "steps_at_most": mountaincar.MOST_STEPS,
        "mean_steps": {way: round(float(of_way.mean()), 1) for way, of_way in steps.items()},
        "steps_fewer_than": won,
        "passed": all(low > 0 for low, _ in won.values()),
        "runs": runs,
    }


def of_dial(seeds: list[int]) -> dict[str, Any]:
    """Lessons that succeed, over the seeds, of each way to read signals and to act."""
    runs = {
        f"{baseline}, temperature {temperature}": [
            _shown(dial.taught(seed, temperature=temperature, baseline=baseline)) for seed in seeds
        ]
        for baseline in dial.BASELINES
        for temperature in dial.TEMPERATURES
    }
    more = interval(
        lambda ours, papers: float(ours[0].mean() - papers[0].mean()),
        [_succeeded(runs[dial.DEFAULT])],
        [_succeeded(runs[dial.AS_IN_THE_PAPERS])],
    )
    return {
        "evaluator": dial.EVALUATOR,
        "lesson_seconds": dial.SECONDS,
        "succeeded": {way: int(_succeeded(of_way).sum()) for way, of_way in runs.items()},
        "agreement_at_the_end": {
            way: round(float(np.mean([run["agreement"] for run in of_way])), 3)
            for way, of_way in runs.items()
        },
        "more_than_the_papers": more,
        "passed": more[0] > 0,
        "runs": runs,
    }


def _succeeded(runs: list[dict[str, Any]]) -> Any:
    return np.array([run["learnt_seconds"] is not None for run in runs], np.float64)


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(run), file=sys.stderr, flush=True)
    return run


def main() -> int:
    """Run the benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=FULL_SEEDS, default="tetris")
    parser.add_argument("--seeds", type=int, help="how many; the full size by default")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    use_threads(1)
    full = FULL_SEEDS[options.task]
    count = options.seeds or full
    seeds = list(range(options.first_seed, options.first_seed + count))
    of_task = {"tetris": of_tetris, "mountaincar": of_mountain_car, "dial": of_dial}[options.task]
    figures = of_task(seeds)
    passed = figures.pop("passed") if count >= full else None
    print(json.dumps({"task": options.task, "seeds": seeds, **figures, "passed": passed}))
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
