"""Speed of the whole algorithm with some number of env runners, against what their environments allow."""

import multiprocessing
import time
from typing import Any

from benchmarks.scaling.sleeping import STEP_SECONDS, Sleeping
from cluster.loop.algorithm_config import HITLConfig

ENVIRONMENTS, STEPS, WARM_UP = 4, 128, 3
_SECONDS = 120.0
"""By then all processes have begun and ended, or one has died."""


def bare(processes: int, *, steps: int = 600) -> float:
    """Steps a second of environments with nothing around them, one in each process: what late sleeps leave."""
    context = multiprocessing.get_context("spawn")
    together, speeds = context.Barrier(processes, timeout=_SECONDS), context.Queue()
    workers = [context.Process(target=_step, args=(steps, together, speeds)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    speed = sum(speeds.get(timeout=_SECONDS) for _ in workers)
    for worker in workers:
        worker.join()
    return float(speed)


def _step(steps: int, together: Any, speeds: Any) -> None:
    env = Sleeping()
    env.reset()
    together.wait()
    start = time.perf_counter()
    for _ in range(steps):
        env.step(0)
    speeds.put(steps / (time.perf_counter() - start))


def measure(env_runners: int, *, environments: int, updates: int) -> dict[str, Any]:
    """Train with overlapped sampling and learning; Ray's start and the first updates are not counted."""
    algorithm = (
        HITLConfig()
        .environment("benchmarks.scaling.sleeping:Sleeping")
        .env_runners(
            num_env_runners=env_runners,
            num_envs_per_env_runner=environments,
            rollout_fragment_length=STEPS,
        )
        .debugging(seed=0)
        .build_algo()
    )
    try:
        for _ in range(WARM_UP):
            algorithm.train()
        start, before, updated = time.perf_counter(), algorithm.env_steps, algorithm.updates
        lags, learning = [], 0.0
        while algorithm.updates < updated + updates:
            algorithm.train()
            lags.append(algorithm.statistics.lag_updates)
            learning += algorithm.statistics.update_seconds
        wall = time.perf_counter() - start
        speed = (algorithm.env_steps - before) / wall
        return {
            "env_runners": env_runners,
            "steps_per_second": round(speed, 1),
            "efficiency": round(speed * STEP_SECONDS / env_runners, 3),
            "learning_share": round(learning / wall, 3),
            "largest_lag_updates": max(lags),
            "dropped_rollouts": sum(algorithm.dropped_rollouts.values()),
        }
    finally:
        algorithm.stop()
