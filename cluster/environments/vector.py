"""Environments that step together, as the collector sees them.

Axis suffixes: N environment, O observation, K episode that ended in this step.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from policies.experience import BoolArray, FloatArray, IntArray, ObservationArray

LostReason = Literal["error", "timeout", "death"]
"""Why an environment was made anew: it raised an error; took too long; or its process ended by itself."""


class Stepped(NamedTuple):
    """What one step of all environments shows; the next step writes over it."""

    observation_NO: ObservationArray
    """Flat. Of an environment that started anew it is the new episode's first one."""
    reward_N: FloatArray
    terminated_N: BoolArray
    truncated_N: BoolArray
    nobody_N: BoolArray
    """The action had no effect."""
    duration_N: IntArray
    """How many environment steps this was: 1, but for rows in which nobody acts."""
    outcome_N: NDArray[np.uint8]
    """As `policies.experience.Outcome`; open everywhere unless the environments are made with a goal."""
    final_observation_KO: Iterable[ObservationArray]
    """The true last observation of each episode that ended, in the order of the environments."""


def one_by_one(action_NA: NDArray[np.generic], space: gym.Space[Any]) -> Iterable[Any]:
    """Return the actions for single environments."""
    # Plain numbers where they are numbers: Discrete takes four times as long to check NumPy's.
    return action_NA.tolist() if isinstance(space, gym.spaces.Discrete) else action_NA


class VectorEnvironment(Protocol):
    """Environments in lockstep; one that ends its episode starts the next by itself.

    A row in which an environment did nothing that counts has nobody as its actor, a duration of 0, a reward of 0,
    and is truncated, with the observation before it as the final one: so it earns nothing, and the row before it is
    bootstrapped from the same observation as if it had been the last.
    """

    count: int
    observation_space: gym.Space[Any]
    """Of one environment."""
    action_space: gym.Space[Any]
    """Of one environment."""
    lost: Counter[LostReason]
    """Environments that failed and were made anew, by the reason."""

    def reset(self, seed: int) -> ObservationArray:
        """Start an episode in each environment; returns the first observations, flat."""
        ...

    def step(self, action_NA: NDArray[np.generic]) -> Stepped:
        """Take one action in each environment."""
        ...

    def close(self) -> None:
        """Close the environments."""
        ...
