"""Mountain Car: TAMER with its credit assignment, TAMER without, and Sarsa(lambda) on the environment's reward."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.mountain_car import MountainCarEnv
from numpy.typing import NDArray

from benchmarks.tamer.lesson import Lesson
from benchmarks.tamer.sarsa import Sarsa
from hitl.credit import GAMMA, DelayDensity, UniformDelay
from hitl.reward.linear import LinearReward
from hitl.reward.network.features import RadialFeatures
from hitl.teachers.live import LiveSettings, LiveTeacher, approval

EVALUATOR = "value iteration on a grid of 121 x 121 with a reward of -1 a step"
STEP_SECONDS = 0.15
SIGNALS_PER_SECOND = 1.0
GOAL, EPISODES = -130.0, 10
MOST_STEPS = 100_000
_GRID = 121
_CURRENT_STEP = UniformDelay(0.0, 1e-9)
_PER_AXIS = 8


@cache
def _worth() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the grid's positions and velocities, and minus the steps to the goal after each, [position, velocity]."""
    env = MountainCarEnv()
    position = np.linspace(env.min_position, env.max_position, _GRID)
    velocity = np.linspace(-env.max_speed, env.max_speed, _GRID)
    worth = np.zeros((_GRID, _GRID))
    successors = [_move(env, position[:, None], velocity[None], action) for action in range(3)]
    for _ in range(400):
        after = [_after(*successor, position, velocity, worth, env) for successor in successors]
        worth = np.max(after, 0)
    return position, velocity, worth


def _move(env: MountainCarEnv, position: Any, velocity: Any, action: int) -> tuple[Any, Any]:
    velocity = velocity + (action - 1) * env.force - np.cos(3 * position) * env.gravity
    velocity = np.clip(velocity, -env.max_speed, env.max_speed)
    position = np.clip(position + velocity, env.min_position, env.max_position)
    return position, np.where((position == env.min_position) & (velocity < 0), 0.0, velocity)


def _after(
    position: Any, velocity: Any, positions: Any, velocities: Any, worth: Any, env: MountainCarEnv
) -> NDArray[np.float64]:
    """Return the worth of arriving somewhere, between the points of the grid; -1 for the step."""
    place = (position - positions[0]) / (positions[1] - positions[0])
    speed = (velocity - velocities[0]) / (velocities[1] - velocities[0])
    low_p, low_v = (np.clip(np.floor(x).astype(int), 0, _GRID - 2) for x in (place, speed))
    share_p, share_v = place - low_p, speed - low_v
    between = (
        worth[low_p, low_v] * (1 - share_p) * (1 - share_v)
        + worth[low_p + 1, low_v] * share_p * (1 - share_v)
        + worth[low_p, low_v + 1] * (1 - share_p) * share_v
        + worth[low_p + 1, low_v + 1] * share_p * share_v
    )
    return np.where(position >= env.goal_position, 0.0, between) - 1.0


def opinion(observation: NDArray[Any], action: int) -> float:
    """Approve of the best action, disapprove of the others."""
    positions, velocities, worth = _worth()
    env = MountainCarEnv()
    position, velocity = np.float64(observation[0]), np.float64(observation[1])
    score_A = np.array(
        [
            float(_after(*_move(env, position, velocity, a), positions, velocities, worth, env))
            for a in range(3)
        ]
    )
    return approval(score_A, action, good_share=1 / 3, bad_share=1 / 3)


@dataclass
class _Until:
    """Plays episodes until the mean of the last ten reaches the goal."""

    play: Callable[[], float]
    steps: Callable[[], int]

    def __call__(self) -> dict[str, Any]:
        returns: list[float] = []
        while self.steps() < MOST_STEPS:
            returns.append(self.play())
            if len(returns) >= EPISODES and np.mean(returns[-EPISODES:]) >= GOAL:
                return {"steps": self.steps(), "episodes": len(returns), "reached": True}
        return {"steps": MOST_STEPS, "episodes": len(returns), "reached": False}


def taught(seed: int, *, delay: DelayDensity = GAMMA) -> dict[str, Any]:
    """TAMER."""
    env = gym.make("MountainCar-v0")
    assert isinstance(env.observation_space, gym.spaces.Box)
    features = RadialFeatures(env.observation_space, 3, per_axis=_PER_AXIS)
    lesson = Lesson(
        env,
        features=features,
        reward=LinearReward(features.size),
        delay=delay,
        teacher=LiveTeacher(
            LiveSettings(seed=seed, miss=0.2, mistake=0.05, signals_per_second=SIGNALS_PER_SECOND)
        ),
        opinion=opinion,
        step_seconds=STEP_SECONDS,
        seed=seed,
    )
    ended = _Until(lesson.play, lambda: lesson.steps)()
    return {"seed": seed, **ended, "signals": lesson.signals, "unplaced": lesson.unplaced}


def on_the_current_step(seed: int) -> dict[str, Any]:
    """TAMER whose signals are put on the step that is on show as the key is pressed."""
    return taught(seed, delay=_CURRENT_STEP)


def sarsa(seed: int) -> dict[str, Any]:
    """Sarsa(lambda), which gets the environment's reward at every step."""
    learner = Sarsa(gym.make("MountainCar-v0"), seed=seed)
    return {"seed": seed, **_Until(learner.play, lambda: learner.steps)()}
