"""The two sides: each trains once and hands out its greedy policy on the way, with the time of training alone.

Each runs as its users would run it: ours overlapped, with one env runner beside the learner, so on two cores it takes
both and its scores differ a little from run to run; Stable-Baselines3 samples and learns in turns in one process.
Either learns on one thread. Ours lowers its step size to 0 over the steps of the task; Stable-Baselines3 does so where
its published settings say so. A clock starts after the first update, because ours traces its gradient step there.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.learning.tasks import Task
from cluster.loop.evaluation import Judged

SNAPSHOTS = 50
"""Policies handed out by a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A policy on its way."""

    env_steps: int
    seconds: float
    """Of training, after the first update."""
    training_return: float | None
    """Mean over the last 100 episodes of training."""
    policy: Judged


class Recorder:
    """Keeps snapshots and the clock, which stands still meanwhile."""

    def __init__(self, env_steps: int) -> None:
        self.snapshots: list[Snapshot] = []
        self._every, self._end = env_steps / SNAPSHOTS, env_steps
        self._next = 0.0
        self._start: float | None = None

    def after_update(self, env_steps: int, training_return: float | None, policy: Callable[[], Any]) -> None:
        """Take note of an update, and of its policy where one is due."""
        now = time.perf_counter()
        if self._start is None:
            self._start = now
        if env_steps >= min(self._next, self._end):
            self._next += self._every
            self.snapshots.append(
                Snapshot(
                    env_steps=env_steps,
                    seconds=now - self._start,
                    training_return=training_return,
                    policy=policy(),
                )
            )
            self._start += time.perf_counter() - now


def ours(env_id: str, task: Task, seed: int, env_steps: int) -> list[Snapshot]:
    """Train with Handrail."""
    from benchmarks.own_policy import on_true_reward, policy_of
    from cluster.loop.local_ray import start_ray

    start_ray(cpus=2)
    algorithm = on_true_reward(env_id, seed=seed, env_steps=env_steps, tree=task.ours)
    recorder = Recorder(env_steps)
    while algorithm.env_steps < env_steps:
        algorithm.train()
        recorder.after_update(
            algorithm.env_steps, algorithm.statistics.true_return, lambda: policy_of(algorithm)
        )
    return recorder.snapshots


class _SB3Policy:
    """Stable-Baselines3's policy with the scale of its observations."""

    memory = None

    def __init__(self, model: Any) -> None:
        # The policy itself cannot be copied: it holds the distribution of its last actions.
        self._policy, self._weights = model.policy, copy.deepcopy(model.policy.state_dict())
        normaliser = model.get_vec_normalize_env()
        self._normalise = normaliser and copy.deepcopy(normaliser.obs_rms)
        self._clip = normaliser and normaliser.clip_obs
        self._epsilon = normaliser and normaliser.epsilon

    def act_greedily(self, observation_NO: Tensor) -> Tensor:
        self._policy.load_state_dict(self._weights)
        observation = observation_NO.numpy()
        if self._normalise:
            scaled = (observation - self._normalise.mean) / (self._normalise.var + self._epsilon) ** 0.5
            observation = scaled.clip(-self._clip, self._clip).astype("float32")
        action, _ = self._policy.predict(observation, deterministic=True)
        return torch.from_numpy(action)


def sb3(env_id: str, task: Task, seed: int, env_steps: int) -> list[Snapshot]:
    """Train with Stable-Baselines3, at its published settings."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.utils import LinearSchedule
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    recorder = Recorder(env_steps)

    class Watch(BaseCallback):
        """Rollouts begin when an update is over, but for the first."""

        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps:
                _record(recorder, self.model)

    settings: dict[str, Any] = {
        name: LinearSchedule(float(value[4:]), 0.0, 1.0) if isinstance(value, str) else value
        for name, value in task.sb3.items()
    }
    policy_settings = dict(task.sb3_policy)
    if policy_settings.get("activation_fn") == "relu":
        policy_settings["activation_fn"] = torch.nn.ReLU
    envs = make_vec_env(env_id, n_envs=task.sb3_envs, seed=seed)
    if task.sb3_normalises:
        envs = VecNormalize(envs, gamma=task.sb3["gamma"])
    model = PPO("MlpPolicy", envs, seed=seed, device="cpu", policy_kwargs=policy_settings, **settings)
    model.learn(env_steps, callback=Watch())
    _record(recorder, model)
    return recorder.snapshots


def _record(recorder: Recorder, model: Any) -> None:
    returns = [episode["r"] for episode in model.ep_info_buffer]
    mean = sum(returns) / len(returns) if returns else None
    recorder.after_update(model.num_timesteps, mean, lambda: _SB3Policy(model))


CONTENDERS: dict[str, Callable[[str, Task, int, int], list[Snapshot]]] = {"ours": ours, "sb3": sb3}
