"""What single messages and bytes cost: the numbers that the model in docs/scaling.md is filled with."""

import json
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import ray

from cluster.behaviour import Behaviour
from cluster.environments.sequential import SequentialEnvironments
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.loop.rollouts.env_runner import Sample
from cluster.loop.rollouts.sampling import Sampler
from policies.acting.inference import acting_policy
from policies.experience import Rollout, join
from policies.networks import ActorCritic

REQUESTS, REPEATS, STEPS = 300, 30, 32
NUMBERS = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
IMAGES = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
ACTIONS: gym.Space[Any] = gym.spaces.Discrete(4)


class Still(gym.Env[Any, Any]):
    """Shows the same observation for ever."""

    action_space = ACTIONS

    def __init__(self, space: gym.Space[Any]) -> None:
        self.observation_space = space
        self._observation = space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start an episode."""
        super().reset(seed=seed)
        return self._observation, {}

    def step(self, action: Any) -> Any:
        """Do nothing."""
        return self._observation, 1.0, False, False, {}


def measure() -> dict[str, Any]:
    """Measure all of them; progress goes to stderr."""
    figures: dict[str, Any] = {}
    for name, costs in (
        ("requests", requests),
        ("waiting", waiting),
        ("numbers", lambda: objects(NUMBERS, columns=32)),
        ("images", lambda: objects(IMAGES, columns=8)),
    ):
        figures[name] = costs()
        print(name, json.dumps(figures[name]), file=sys.stderr, flush=True)
    return figures


def requests() -> dict[str, float]:
    """One env runner, rollouts of one step: what is left is the way there and back."""
    algorithm = (
        HITLConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=1, num_envs_per_env_runner=1, rollout_fragment_length=1)
        .build_algo()
    )
    weights = acting_weights(ActorCritic(NUMBERS, gym.spaces.Discrete(2), **algorithm.config.model_config))
    sampler = Sampler(
        algorithm.env_runner_group,
        batch_rows=1,
        timeout_seconds=60.0,
        give_up_seconds=600.0,
        max_lag=0,
        lockstep=False,
    )
    reference = ray.put(weights)

    def ask(version: int, weights: ray.ObjectRef) -> list[Sample]:
        behaviour = Behaviour(policy_version=version)
        sampler.request(behaviour=behaviour, weights=weights, reward_model=None, start=0)
        return sampler.gather(policy_version=version)

    def with_the_same_weights(_: int) -> list[Sample]:
        return ask(1, reference)

    def with_new_weights(version: int) -> list[Sample]:
        return ask(version, ray.put(weights))

    figures: dict[str, float] = {}
    for way in (with_the_same_weights, with_new_weights):
        (sample,) = way(1)
        times, cpu = [], time.process_time()
        for version in range(2, REQUESTS + 2):
            start = time.perf_counter()
            way(version)
            times.append(time.perf_counter() - start)
        name = way.__name__
        figures[f"round_trip_ms_{name}"] = _ms(statistics.median(times))
        figures[f"driver_cpu_ms_{name}"] = _ms((time.process_time() - cpu) / REQUESTS)
    figures["header_bytes"] = len(ray.cloudpickle.dumps(sample))
    algorithm.stop()
    return figures


def waiting() -> dict[str, float]:
    """What it costs the driver to look whether any of so many requests is answered."""
    sleeper = ray.remote(num_cpus=0)(Sleeper).remote()
    figures = {}
    for count in (16, 256, 1000):
        pending = [sleeper.sleep.remote() for _ in range(count)]
        took = _median(lambda pending=pending: ray.wait(pending, num_returns=1, timeout=0))  # type: ignore[misc]
        figures[f"look_at_{count}_ms"] = _ms(took)
    ray.kill(sleeper)
    return figures


class Sleeper:
    """Keeps requests waiting."""

    def sleep(self) -> None:
        """Sleep for longer than anybody measures."""
        time.sleep(600)


def objects(space: gym.Space[Any], *, columns: int) -> dict[str, float]:
    """Weights and rollouts of a policy on such observations, in bytes and on their way through the object store."""
    envs = SequentialEnvironments(lambda: Still(space), columns)
    policy = acting_policy(space, ACTIONS, seed=0)
    weights = acting_weights(ActorCritic(space, ACTIONS))
    policy.load(weights)
    collector = Collector(envs, policy, source="benchmark", seed=0, share_reward=True)
    rollout = collector.collect(STEPS, policy_version=0).rollout
    rows = rollout.duration_TN.size
    rollout_bytes = _size(rollout)
    return {
        "weights_bytes": _size(weights),
        "weights_put_ms": _ms(_median(lambda: ray.put(weights))),
        "weights_get_and_load_ms": _ms(_median_of_fresh(weights, lambda got: policy.load(got))),
        "rollout_bytes_per_row": round(rollout_bytes / rows, 1),
        "rollout_put_ms": _ms(_median(lambda: ray.put(rollout))),
        "rollout_get_ms": _ms(_median_of_fresh(rollout, lambda got: got)),
        "rollout_bytes": rollout_bytes,
        "join_us_per_row": round(_join_seconds(rollout) / rows * 1e6, 3),
    }


def _join_seconds(rollout: Rollout) -> float:
    return _median(lambda: join([rollout] * 8)) / 8


def _size(value: Any) -> int:
    return len(pickle.dumps(value, protocol=5))


def _median(action: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _median_of_fresh(value: Any, use: Callable[[Any], Any]) -> float:
    """Seconds to get and use an object that was just put."""
    times = []
    for _ in range(REPEATS):
        reference = ray.put(value)
        start = time.perf_counter()
        use(ray.get(reference))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
