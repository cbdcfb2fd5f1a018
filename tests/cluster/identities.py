"""Environments in which the right action is what is seen, in every kind of space."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SIDE = 8


class Identity(gym.Env[Any, Any]):
    """Rewards an action by how much of it equals the observation; each episode is cut after 8 steps."""

    def __init__(self, kind: str) -> None:
        self.observation_space, self.action_space = SPACES[kind]
        self._kind = kind

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._kind == "box":
            reward = float(np.maximum(1 - np.abs(action - self._right), 0).mean())
        else:
            reward = float((np.asarray(action) == self._right).mean())
        self._steps += 1
        return self._look(), reward, False, self._steps >= 8, {}

    def _look(self) -> Any:
        """Draw what is right next, and show it."""
        draw = self.np_random
        match self._kind:
            case "discrete":
                self._right = draw.integers(4)
                return self._right
            case "multi discrete":
                self._right = draw.integers([3, 2])
                return self._right
            case "box":
                self._right = draw.uniform(-1, 1, 2).astype(np.float32)
                return self._right
            case "image":
                self._right = draw.integers(4)
                return _lit(self._right)
        self._right = draw.integers([4, 2, 3])
        image, number, choice = self._right
        return {"image": _lit(image), "number": np.array([2.0 * number - 1], np.float32), "choice": choice}


def _lit(corner: Any) -> Any:
    """An image in which one of four corners is lit."""
    image = np.zeros((SIDE, SIDE, 1), np.uint8)
    row, column = divmod(int(corner), 2)
    image[row * SIDE // 2 :, column * SIDE // 2 :][: SIDE // 2, : SIDE // 2] = 255
    return image


_IMAGE = spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)
SPACES: dict[str, tuple[Any, Any]] = {
    "discrete": (spaces.Discrete(4), spaces.Discrete(4)),
    "multi discrete": (spaces.MultiDiscrete([3, 2]), spaces.MultiDiscrete([3, 2])),
    "box": (spaces.Box(-1, 1, (2,), np.float32), spaces.Box(-1, 1, (2,), np.float32)),
    "image": (_IMAGE, spaces.Discrete(4)),
    "dict": (
        spaces.Dict(image=_IMAGE, number=spaces.Box(-1, 1, (1,), np.float32), choice=spaces.Discrete(3)),
        spaces.MultiDiscrete([4, 2, 3]),
    ),
}
