"""A policy that needs no network."""

from typing import Any

import numpy as np

from policies.acting.inference import Draw, Weights


class Dice:
    """Acts at random, by a seed of its own."""

    memory_units = 0

    def __init__(self, actions: int) -> None:
        self._actions = actions
        self._generator = np.random.default_rng(1)

    def load(self, weights: Weights) -> None:
        raise NotImplementedError

    def act(self, observation_NO: Any, memory_NH: Any = None) -> Draw:
        count = len(observation_NO)
        return self._generator.integers(0, self._actions, count), np.full(
            count, -np.log(self._actions), np.float32
        )
