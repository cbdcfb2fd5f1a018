"""A way with a ledge that breaks, whoever steps on it: risky, and never new."""

from typing import Any

import gymnasium as gym
import numpy as np

STEP, WAIT = range(2)
LEDGE, END = 0, 6
BREAKS = 0.75
"""Probability with which the first step breaks the ledge."""


class Ledge(gym.Env[Any, Any]):
    """Half of all episodes begin on the ledge, the others at a place behind it. At the end it says so, if told to."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Box(-1.0, END, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(
        self, says: bool = True, ends: bool = True, limit: int | None = None, render_mode: str | None = None
    ) -> None:
        self.render_mode = render_mode
        self._says, self._ends, self._limit = says, ends, limit
        self._place = self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        starts = LEDGE if self.np_random.random() < 0.5 else int(self.np_random.integers(1, END))
        self._place, self._steps = starts, 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        if action == STEP:
            falls = self._place == LEDGE and self.np_random.random() < BREAKS
            self._place = -1 if falls else min(self._place + 1, END)
        arrived, fallen = self._place == END, self._place < 0
        info = {"is_success": np.float32(arrived)} if self._says else {}
        over = fallen or (arrived and self._ends)
        return self._observation(), -1.0, over, self._steps == self._limit, info

    def _observation(self) -> Any:
        return np.array([self._place], np.float32)

    def render(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


class Guide:
    """Goes on."""

    def act(self, observation: Any, /) -> int:
        return STEP
