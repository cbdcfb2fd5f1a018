"""An environment that shows what is right only in an episode's first observation."""

from typing import Any

import gymnasium as gym
import numpy as np


class Remember(gym.Env[Any, Any]):
    """The first observation names one of two actions; after `delay` steps it earns 1. The others earn nothing."""

    observation_space = gym.spaces.Discrete(3)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, delay: int = 4, truncates: bool = False) -> None:
        self._delay, self._truncates = delay, truncates

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._right, self._steps = int(self.np_random.integers(2)), 0
        return self._right, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        ended = self._steps > self._delay
        reward = float(ended and action == self._right)
        return np.int64(2), reward, ended and not self._truncates, ended and self._truncates, {}
