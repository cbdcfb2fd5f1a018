"""Small environments for tests of the loop."""

from typing import Any

import gymnasium as gym
import numpy as np


class Line(gym.Env[Any, Any]):
    """A point on a line: action 1 moves it up, action 0 down; the reward is the position. It never ends."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        self.scale, self.shift = scale, shift
        self._position, self._steps = 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._position, self._steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._position = float(np.clip(self._position + (0.1 if action else -0.1), -1, 1))
        self._steps += 1
        reward = self.scale * self._position + self.shift
        return self._observation(), reward, False, self._steps >= 20, {}

    def _observation(self) -> Any:
        return np.array([self._position, self._steps / 20], np.float32)
