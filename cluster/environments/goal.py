"""What environments say of their task's goal: no more than the run file asks for, and never their reward."""

from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cluster.environments.fixed_horizon import Env
from cluster.runs.imitation_config import Goal
from hitl.errors import ConfigError
from policies.experience import Outcome

OUTCOME = "handrail_outcome"
"""Key in a step's info: what it says of the goal, as `Outcome`; missing where that is nothing."""
IS_SUCCESS = "is_success"
"""Key in which environments say whether a step has led into the goal, as those of gymnasium-robotics do."""

_CHECKED_STEPS = 2000


def outcome_of(goal: Goal, terminated: ArrayLike, info: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return what a step says of the goal, as `Outcome`: of one environment, or of each of a vector's.

    Args:
        goal: that the run names.
        terminated: the environment ended the episode; before a fixed horizon hides it.
        info: of the step.
    """
    terminated = np.asarray(terminated, bool)
    if goal == "none":
        return np.full(terminated.shape, Outcome.OPEN, np.uint8)
    reached = terminated if goal == "terminated" else np.asarray(info.get(IS_SUCCESS, False), bool)
    elsewhere = np.where(terminated, Outcome.FAILED, Outcome.OPEN)
    return np.where(reached, Outcome.REACHED, elsewhere).astype(np.uint8)


class GoalTelling(gym.Wrapper[Any, Any, Any, Any]):
    """Puts what a step says of the goal into its info, where that is anything."""

    def __init__(self, env: Env, goal: Goal) -> None:
        super().__init__(env)
        self._goal: Goal = goal

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step."""
        observation, reward, terminated, truncated, info = super().step(action)
        outcome = int(outcome_of(self._goal, terminated, info or {}))
        if outcome != Outcome.OPEN:
            info = {**(info or {}), OUTCOME: outcome}
        return observation, reward, terminated, truncated, info


def check_goal(goal: Goal, make: Callable[[], Env]) -> None:
    """Refuse a goal of which an environment says nothing from an episode's first step to its last.

    Args:
        goal: that the run names.
        make: makes the environment, as it is without a fixed horizon.

    Raises:
        ConfigError: its infos lack the key.
    """
    if goal != "is_success":
        return
    env = make()
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(_CHECKED_STEPS):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        if info and IS_SUCCESS in info:
            break
        if terminated or truncated:
            raise ConfigError(
                f"imitation.help.goal: the steps of this environment do not say {IS_SUCCESS!r} in their info; add it "
                "there, or set the goal to terminated or none"
            )
    env.close()  # type: ignore[no-untyped-call]
