"""How far each objective gets on CartPole-v1 in the same number of steps.

    python -m benchmarks.objectives
    python -m benchmarks.objectives --objectives trpo --seeds 2

Each trains on the environment's reward for 100,000 steps at the settings below; its score is the mean return of 20
greedy episodes afterwards. Scores are given for each seed, with the interquartile mean and its bootstrap interval.
Nobody is compared with: `benchmarks.learning` does that for PPO.
The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.intervals import interquartile_mean, interval

ENVIRONMENT, ENV_STEPS, SEEDS, EPISODES = "CartPole-v1", 100_000, 5, 20
_BATCHES = {"env_runners": 1, "envs_per_runner": 8, "steps": 128}
_SMALL_BATCHES = {"env_runners": 1, "envs_per_runner": 8, "steps": 16}
_PPO = {"learning_rate": 2e-3, "epochs": 4, "minibatch_size": 256}
_ONE_STEP = {"learning_rate": 3e-3}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo_clip": {"rollouts": _BATCHES, "learner": _PPO},
    "ppo_kl": {"rollouts": _BATCHES, "learner": _PPO},
    "trpo": {"rollouts": _BATCHES, "learner": _PPO},
    "a2c": {"rollouts": _SMALL_BATCHES, "learner": _ONE_STEP},
    "q_actor_critic": {"rollouts": _SMALL_BATCHES, "learner": _ONE_STEP},
    "reinforce": {"rollouts": _SMALL_BATCHES, "learner": _ONE_STEP},
}


def score(objective: str, seed: int, env_steps: int) -> float:
    """Train once, and return the mean return of greedy episodes."""
    from benchmarks.own_policy import on_true_reward, policy_of
    from cluster.loop.evaluation import evaluate
    from cluster.runs.config import EnvironmentConfig

    settings = SETTINGS[objective]
    learner = {"objective": objective, **settings["learner"]}
    algorithm = on_true_reward(
        ENVIRONMENT, seed=seed, env_steps=env_steps, tree={**settings, "learner": learner}
    )
    while algorithm.env_steps < env_steps:
        algorithm.train()
    policy = policy_of(algorithm)
    algorithm.stop()
    environment = EnvironmentConfig(id=ENVIRONMENT)
    return statistics.fmean(evaluate(policy, environment, episodes=EPISODES, seed=1_000_000 + seed))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objectives", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=ENV_STEPS)
    options = parser.parse_args()
    from cluster.loop.local_ray import start_ray

    start_ray(cpus=2)
    figures: dict[str, Any] = {}
    for objective in options.objectives:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        scores = [score(objective, seed, options.steps) for seed in seeds]
        runs = [np.array(scores)]
        middle, around = interquartile_mean(runs), interval(interquartile_mean, runs)
        figures[objective] = {
            "interquartile_mean": round(middle, 1),
            "interval": [round(bound, 1) for bound in around],
            "returns": [round(value, 1) for value in scores],
        }
        print(objective, json.dumps(figures[objective]), file=sys.stderr, flush=True)
    figures |= {
        "env_steps": options.steps,
        "versions": {name: version(name) for name in ("ray", "torch", "gymnasium")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps({"name": "objectives", "goal": None, "figures": figures, "passed": None}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
