"""An environment of one's own: a walker on a line, for docs/environments.md."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Observation = NDArray[np.float32]


class LineWalk(gym.Env[Observation, np.int64]):
    """A walker on a line from -1 to 1; whoever falls off the left end is out.

    Observation: where it is and how fast it moves. Action: 0 pushes left, 1 does nothing, 2 pushes right.
    True reward: 1 in each step that it spends right of `goal`.
    """

    def __init__(self, goal: float = 0.5) -> None:
        self.goal = goal
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(3)
        self._position = self._velocity = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start somewhere near the middle, at rest."""
        super().reset(seed=seed)
        self._position, self._velocity = float(self.np_random.uniform(-0.2, 0.2)), 0.0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Push, and move for a moment."""
        self._velocity = 0.9 * self._velocity + 0.02 * (int(action) - 1)
        self._position = min(self._position + self._velocity, 1.0)
        fallen = self._position < -1.0
        return self._observation(), float(self._position > self.goal), fallen, False, {}

    def _observation(self) -> Observation:
        return np.clip(np.array([self._position, self._velocity], np.float32), -1.0, 1.0)
