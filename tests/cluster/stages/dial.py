"""A small world to look at: a hand that goes left, stays or goes right, and falls off at ten."""

from typing import Any

import gymnasium as gym
import numpy as np

LEFT, STAY, RIGHT = range(3)
END = 10


class Dial(gym.Env[Any, Any]):
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Box(-END, END, (1,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._place = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._place = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._place += int(action) - 1
        return self._observation(), float(action), abs(self._place) >= END, False, {}

    def _observation(self) -> Any:
        return np.array([self._place], np.float32)

    def render(self) -> Any:
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[:, 30 + 2 * self._place] = 255
        return pixels


class Blind(Dial):
    """Cannot be looked at."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()


class Usher:
    """Wants the hand to go to a place and to stay there. The environment pays for going right, whatever comes."""

    PLACE = 4

    def act(self, observation: Any, /) -> int:
        place = observation[0]
        return STAY if place == self.PLACE else RIGHT if place < self.PLACE else LEFT


def after_each(observation_NO: Any) -> Any:
    """Features of each action: the place that it leads to, and one."""
    place_NA = observation_NO[:, :1] + np.arange(3) - 1.0
    return np.stack([place_NA, np.ones_like(place_NA)], 2).astype(np.float32)


class Drift(Dial):
    """The hand slips by what follows from the seed."""

    def step(self, action: Any) -> Any:
        self._place += int(self.np_random.integers(-1, 2))
        self._place = max(-END, min(END, self._place))
        return super().step(action)

    def _observation(self) -> Any:
        return np.clip(super()._observation(), -END, END)


class Whim(Drift):
    """The hand slips by what follows from nothing."""

    def step(self, action: Any) -> Any:
        self._place += int(np.random.default_rng().integers(-1, 2))
        return super().step(action)
