"""How far each objective gets on CartPole-v1 in the same number of steps.

    python -m benchmarks.objectives
    python -m benchmarks.objectives --objectives trpo --seeds 2

Each trains on the environment's reward for 100,000 steps with settings that suit it, which are those of its page in
`docs/objectives/`; its score is the mean return of 20 greedy episodes afterwards. Scores are given for each seed, with
the interquartile mean and its bootstrap interval. Nobody is compared with: `benchmarks.learning` does that for PPO.
The last line is one JSON object.
"""

import argparse
import copy
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
    from cluster.loop.algorithm_config import HITLConfig
    from cluster.loop.evaluation import evaluate
    from cluster.runs.config import EnvironmentConfig, RunConfig

    settings = SETTINGS[objective]
    run = RunConfig.model_validate(
        {
            "seed": seed,
            "environment": {"id": ENVIRONMENT},
            "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
            "stop": {"env_steps": env_steps},
            "rollouts": settings["rollouts"],
            "learner": {"objective": objective, "device": "cpu", **settings["learner"]},
        }
    )
    algorithm = HITLConfig.from_run(run).build_algo()
    while algorithm.env_steps < env_steps:
        algorithm.train()
    (answer,) = algorithm.learner_group.foreach_learner(lambda learner: copy.deepcopy(learner.network))
    algorithm.stop()
    returns = evaluate(
        answer.get(), EnvironmentConfig(id=ENVIRONMENT), episodes=EPISODES, seed=1_000_000 + seed
    )
    return statistics.fmean(returns)


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
