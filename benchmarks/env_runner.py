"""How much of an environment's own speed an env runner keeps while its policy acts.

    python -m benchmarks.env_runner

CartPole-v1, a policy of 2x64 tanh units, rollouts of 128 steps, one process on one core. Each round measures every way
once, one after the other, and ratios are taken within a round; figures are medians over rounds. The bar: the env
runner with its policy against bare stepping of gymnasium's `SyncVectorEnv`, with 64 environments. The last line is one
JSON object; `passed` is null when the size is not the full one.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import gymnasium as gym
import numpy as np

from cluster.environments.making import make, make_vector
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from policies.acting.inference import Acts, acting_policy
from policies.acting.torch_inference import TorchPolicy
from policies.networks import ActorCritic
from policies.threads import use_threads

FULL_ENVIRONMENTS, FULL_ROUNDS = 64, 7
STEPS, GOAL = 128, 0.85
SYNC = EnvironmentConfig(id="CartPole-v1")
NATIVE = EnvironmentConfig(id="CartPole-v1", vectorised=True)
Way = Callable[[], None]


def gymnasium_alone(count: int) -> Way:
    envs = gym.vector.SyncVectorEnv(
        [lambda: make(SYNC)] * count, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    envs.reset(seed=0)
    action_TN = np.random.default_rng(0).integers(0, 2, (STEPS, count))

    def way() -> None:
        for action_N in action_TN:
            envs.step(action_N)

    return way


def alone(environment: EnvironmentConfig, count: int) -> Way:
    envs = make_vector(environment, count)
    envs.reset(0)
    action_TN = np.random.default_rng(0).integers(0, 2, (STEPS, count))

    def way() -> None:
        for action_N in action_TN:
            envs.step(action_N)

    return way


def with_policy(environment: EnvironmentConfig, count: int, kind: str) -> Way:
    envs = make_vector(environment, count)
    spaces = envs.observation_space, envs.action_space
    policy: Acts = TorchPolicy(*spaces, seed=0) if kind == "torch" else acting_policy(*spaces, seed=0)
    # Young policies act nearly at random, so these episodes are as long as those of random actions.
    policy.load(acting_weights(ActorCritic(*spaces)))
    collector = Collector(envs, policy, source="benchmark", seed=0, share_reward=True)

    def way() -> None:
        collector.collect(STEPS, policy_version=0)

    return way


def main() -> int:
    """Run the benchmark; 0 unless the goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environments", type=int, default=FULL_ENVIRONMENTS)
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    options = parser.parse_args()
    count = options.environments
    use_threads(1)
    ways = {
        "gymnasium_alone": gymnasium_alone(count),
        "sync_alone": alone(SYNC, count),
        "sync_torch": with_policy(SYNC, count, "torch"),
        "sync_numpy": with_policy(SYNC, count, "numpy"),
        "native_alone": alone(NATIVE, count),
        "native_torch": with_policy(NATIVE, count, "torch"),
        "native_numpy": with_policy(NATIVE, count, "numpy"),
    }
    rounds = []
    for number in range(options.rounds + 1):
        speeds = {}
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            speeds[name] = count * STEPS / (time.perf_counter() - start)
        if number:  # The first round warms up.
            rounds.append(speeds)
            print(json.dumps({name: round(speed) for name, speed in speeds.items()}), file=sys.stderr)

    def ratio(over: str, under: str) -> float:
        return float(round(statistics.median(speeds[over] / speeds[under] for speeds in rounds), 3))

    figures = {
        "steps_per_second": {name: round(statistics.median(s[name] for s in rounds)) for name in ways},
        "ratio_to_gymnasium_alone": ratio("sync_numpy", "gymnasium_alone"),
        "ratio_to_gymnasium_alone_with_torch": ratio("sync_torch", "gymnasium_alone"),
        "ratio_to_sync_alone": ratio("sync_numpy", "sync_alone"),
        "ratio_to_native_alone": ratio("native_numpy", "native_alone"),
        "environments": count,
        "rounds": options.rounds,
        "versions": {name: version(name) for name in ("gymnasium", "numpy", "torch")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    full = count >= FULL_ENVIRONMENTS and options.rounds >= FULL_ROUNDS
    passed = figures["ratio_to_gymnasium_alone"] >= GOAL if full else None
    goal = {"ratio_to_gymnasium_alone": GOAL, "environments": FULL_ENVIRONMENTS}
    print(json.dumps({"name": "env_runner", "goal": goal, "figures": figures, "passed": passed}))
    return 1 if passed is False else 0


if __name__ == "__main__":
    sys.exit(main())
