"""Sarsa(lambda) with tile coding and replacing traces. Source: Sutton and Barto 2018, section 12.7 and figure 12.10."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

_TILINGS, _TILES = 8, 8
_RATE = 0.5
_LAMBDA = 0.9


class Sarsa:
    """Greedy; values begin at 0, which is optimistic where every step costs 1, and so it explores."""

    def __init__(self, env: gym.Env[Any, Any], *, seed: int) -> None:
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        assert isinstance(env.action_space, gym.spaces.Discrete)
        self._env, self._rng = env, np.random.default_rng(seed)
        env.reset(seed=seed)
        self._low, self._span = space.low, space.high - space.low
        self._axes, self._actions = len(space.low), int(env.action_space.n)
        self._strides = (_TILES + 1) ** np.arange(self._axes)
        # Shifted by odd multiples of a fraction of a tile, asymmetrically: as recommended there, section 9.5.4.
        self._shift = np.arange(_TILINGS)[:, None] * (2 * np.arange(self._axes) + 1) % _TILINGS / _TILINGS
        self._weight_AI = np.zeros((self._actions, _TILINGS * (_TILES + 1) ** self._axes))
        self.steps = 0

    def play(self) -> float:
        """Play an episode; returns its return."""
        trace_AI = np.zeros_like(self._weight_AI)
        observation, _ = self._env.reset()
        tiles, action = self._choose(observation)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = self._env.step(action)
            ended = terminated or truncated
            total += float(reward)
            self.steps += 1
            error = float(reward) - self._weight_AI[action, tiles].sum()
            trace_AI[:, tiles] = 0.0
            trace_AI[action, tiles] = 1.0
            tiles, action = self._choose(observation)
            if not terminated:
                error += self._weight_AI[action, tiles].sum()
            self._weight_AI += _RATE / _TILINGS * error * trace_AI
            trace_AI *= _LAMBDA
        return total

    def _choose(self, observation: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
        """Return the active tiles and the best action."""
        place = (observation - self._low) / self._span * _TILES
        cells = np.floor(place + self._shift).astype(np.int64)
        tiles = cells @ self._strides + np.arange(_TILINGS) * (_TILES + 1) ** self._axes
        value_A = self._weight_AI[:, tiles].sum(1)
        return tiles, int(self._rng.choice(np.flatnonzero(value_A == value_A.max())))
