"""A small world to compare policies in: a runner who starts anywhere, and is paid for going right."""

from typing import Any

import gymnasium as gym
import numpy as np

LEFT, STAY, RIGHT = range(3)


class Track(gym.Env[Any, Any]):
    """Pays -1, 0 or 1 for a step to the left, none, and one to the right; it never ends by itself."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._start = self._place = float(np.float32(self.np_random.uniform(-5.0, 5.0)))
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._place += int(action) - 1
        return self._observation(), float(action) - 1.0, False, False, {}

    def _observation(self) -> Any:
        return np.array([self._start, self._place], np.float32)

    def render(self) -> Any:
        pixels = np.zeros((8, 64, 3), np.uint8)
        pixels[:, int(np.clip(self._place + 32, 0, 63))] = 255
        return pixels


class Hidden(Track):
    """The same, and it cannot be looked at."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
