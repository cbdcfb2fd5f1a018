"""Speed of the whole algorithm with some number of env runners, against what their environments allow."""

import multiprocessing
import statistics
import time
from typing import Any

from benchmarks.scaling.sleeping import STEP_SECONDS, Sleeping
from cluster.loop.algorithm_config import HITLConfig

ENVIRONMENTS, STEPS, WARM_UP = 4, 128, 3
BLOCKS = 5
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
    """Train with overlapped sampling and learning; Ray's start and the first updates are not counted.

    The speed is the median over `BLOCKS` blocks of updates, so that a neighbour on the machine who takes its cores for
    some seconds does not decide; the whole mean stands beside it.
    """
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
        start, before = time.perf_counter(), algorithm.env_steps
        lags, learning, speeds = [], 0.0, []
        for _ in range(BLOCKS):
            block_start, block_before, updated = time.perf_counter(), algorithm.env_steps, algorithm.updates
            while algorithm.updates < updated + updates // BLOCKS:
                algorithm.train()
                lags.append(algorithm.statistics.lag_updates)
                learning += algorithm.statistics.update_seconds
            speeds.append((algorithm.env_steps - block_before) / (time.perf_counter() - block_start))
        wall = time.perf_counter() - start
        ideal = env_runners / STEP_SECONDS
        return {
            "env_runners": env_runners,
            "steps_per_second": round(statistics.median(speeds), 1),
            "efficiency": round(statistics.median(speeds) / ideal, 3),
            "efficiency_of_blocks": [round(speed / ideal, 3) for speed in speeds],
            "efficiency_mean": round((algorithm.env_steps - before) / wall / ideal, 3),
            "learning_share": round(learning / wall, 3),
            "largest_lag_updates": max(lags),
            "dropped_rollouts": sum(algorithm.dropped_rollouts.values()),
        }
    finally:
        algorithm.stop()
