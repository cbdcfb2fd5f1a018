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


class Dot(gym.Env[Any, Any]):
    """A bright dot on a line of pictures: action 1 moves it right, 0 left; the reward is how far right it is."""

    observation_space = gym.spaces.Box(0, 255, (12, 12, 1), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self._column, self._steps = 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._column, self._steps = int(self.np_random.integers(0, 11)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._column = int(np.clip(self._column + (1 if action else -1), 0, 10))
        self._steps += 1
        return self._observation(), self._column / 10, False, self._steps >= 20, {}

    def _observation(self) -> Any:
        image = np.zeros((12, 12, 1), np.uint8)
        image[5:7, self._column : self._column + 2] = 255
        return image
