"""An environment whose step takes a known time and next to no processor."""

import time
from typing import Any

import gymnasium as gym
import numpy as np

STEP_SECONDS = 0.005
EPISODE_STEPS = 500


class Sleeping(gym.Env[Any, Any]):
    """Sleeps for each step, pays 1, and ends its episodes at a time limit."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self._steps = 0
        self._observation = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start an episode."""
        super().reset(seed=seed)
        self._steps = 0
        return self._observation, {}

    def step(self, action: Any) -> Any:
        """Sleep."""
        time.sleep(STEP_SECONDS)
        self._steps += 1
        return self._observation, 1.0, False, self._steps == EPISODE_STEPS, {}
