"""Rewards that change at known updates, and how well a critic knows the new one.

`scale`: the true reward times one number plus another, both new at each change. `versions`: as a reward model's
versions do, the true reward with an error that is another function of the state in each version and becomes smaller,
on the scale on which a fixed set of states has mean 0 and standard deviation 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.loop import Loop, World
from cluster.runs.config import EnvironmentConfig
from policies.advantages import reward_to_go
from policies.batch import rows_of
from policies.experience import Rollout
from policies.settings import WarmUpSettings
from policies.steps import Steps, steps_on

_SCALES = ((1.0, 0.0), (10.0, 5.0), (0.3, -3.0), (5.0, 20.0), (0.1, 0.0), (3.0, -10.0))
_ERRORS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)
UPDATES_EACH = 10
UPDATES = UPDATES_EACH * len(_SCALES)


def _pendulum(observation_TNO: Tensor) -> Tensor:
    """Pendulum-v1's reward, without the price of torque."""
    cos, sin, speed = observation_TNO.unbind(-1)
    return -(torch.atan2(sin, cos) ** 2 + 0.1 * speed**2)


def _centred(observation_TNO: Tensor) -> Tensor:
    """1 while CartPole-v1's pole is up and the cart in the middle of its track, 0 at its ends or with the pole down."""
    x, _, angle, _ = observation_TNO.unbind(-1)
    return (1 - x.abs() / 2.4).clamp_min(0.0) * (angle.abs() < 12 * torch.pi / 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A world with the true reward of its states."""

    world: World
    reward: Callable[[Tensor], Tensor]


TASKS = {
    "pendulum": Task(
        world=World(environment=EnvironmentConfig(id="Pendulum-v1"), discount=0.95, envs=8),
        reward=_pendulum,
    ),
    "cartpole": Task(
        world=World(
            environment=EnvironmentConfig(id="CartPole-v1", fixed_horizon=500),
            discount=0.97,
            envs=4,
            steps=256,
        ),
        reward=_centred,
    ),
}
CHANGES = ("scale", "versions")
STEPS = 64
ARMS: dict[str, dict[str, Any]] = {
    "nothing": {"value_targets": "none"},
    "pop_art": {"value_targets": "pop_art"},
    "warm_up": {"value_targets": "none", "critic_warm_up": WarmUpSettings(steps=STEPS)},
    "both": {"value_targets": "pop_art", "critic_warm_up": WarmUpSettings(steps=STEPS)},
}


class ChangingReward:
    """A reward source whose version the benchmark sets."""

    def __init__(self, task: Task, change: str, *, seed: int) -> None:
        self._reward, self._change, self._seed = task.reward, change, seed
        self._probe_PO: Tensor | None = None
        self.version = 0

    def __call__(self, steps: Steps) -> Tensor:
        """Return the reward of where each step led to, [T, N], in the present version."""
        state_TNO = steps.next_observation_TNO
        if self._change == "scale":
            scale, offset = _SCALES[self.version]
            return scale * self._reward(state_TNO) + offset
        if self._probe_PO is None:
            self._probe_PO = state_TNO.flatten(0, 1)
        error, size = self._error(state_TNO.shape[-1]), _ERRORS[self.version]
        true_P, wrong_P = self._reward(self._probe_PO), error(self._probe_PO)[:, 0]
        scaled = true_P.std() / wrong_P.std()
        judged_P: Tensor = true_P + size * scaled * wrong_P
        judged_TN: Tensor = self._reward(state_TNO) + size * scaled * error(state_TNO)[..., 0]
        return (judged_TN - judged_P.mean()) / judged_P.std()

    def _error(self, size: int) -> nn.Module:
        # Its weights have nothing to do with what else is drawn.
        with torch.random.fork_rng():
            torch.manual_seed(1000 * self._seed + self.version)
            return nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, 1)).requires_grad_(False)


def explained_variance(loop: Loop, rollout: Rollout, reward: ChangingReward) -> float:
    """Return how much of what followed each step, to the end of its rollout, the critic foretells; at most 1.

    The later half of a rollout, whose future lies behind it, is left out. What is below -1 counts as -1: a critic on
    another scale can be wrong by any factor.
    """
    steps, discount = steps_on(torch.device("cpu"), rollout), loop.settings.discount
    with torch.no_grad():
        rows = rows_of(loop.network, rollout, steps, None, reward(steps), discount=discount)
    kept = slice(0, len(steps.cut_TN) // 2)
    # The time behind the rollout is worth what the mean reward is: neither critic's word counts.
    after = float(rows.reward_TN.mean()) / (1 - discount)
    followed_TN = reward_to_go(rows._replace(next_value_TN=torch.full_like(rows.value_TN, after))).target_TN
    missed_P = (followed_TN - rows.value_TN)[kept].flatten()
    return max(-1.0, float(1 - (missed_P**2).mean() / followed_TN[kept].var()))


def _earned(task: Task, rollout: Rollout) -> float:
    """Return the mean true reward of an environment step."""
    steps, duration_TN = steps_on(torch.device("cpu"), rollout), torch.from_numpy(rollout.duration_TN)
    return float((task.reward(steps.next_observation_TNO) * duration_TN).sum() / duration_TN.sum())


def run(task: str, change: str, arm: str, *, seed: int) -> dict[str, float]:
    """Train through all changes.

    Returns:
        explained_variance: of the first batch after a change, before anything is learnt from it, over all changes;
        true_reward: mean of an environment step over all updates after the first change; and before_change, the
        former right before changes, when the critic has seen ten batches with the reward.
    """
    reward = ChangingReward(TASKS[task], change, seed=seed)
    loop = Loop(TASKS[task].world, {"learned": reward}, seed=seed, settings=ARMS[arm])
    after, before, earned = [], [], []
    for update in range(UPDATES):
        collected = loop.collect()
        version = update // UPDATES_EACH
        if version != reward.version:
            before.append(explained_variance(loop, collected.rollout, reward))
            reward.version = version
            loop.warm_up()
            after.append(explained_variance(loop, collected.rollout, reward))
        if version:
            earned.append(_earned(TASKS[task], collected.rollout))
        loop.learn(collected)
    return {
        "explained_variance": float(np.mean(after)),
        "before_change": float(np.mean(before)),
        "true_reward": float(np.mean(earned)),
    }
