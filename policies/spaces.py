"""Observations as one flat array, in the order of `gymnasium.spaces.flatten`, and the actions that a policy can take.

An array of bytes stays one on its way to the learner; everything else travels as float32. Axis suffixes: N
environment, O number of a flat observation.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

_ONE_HOT = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class Leaf(NamedTuple):
    """A part of an observation that has no parts of its own."""

    name: str
    """Its key in a Dict or its number in a Tuple, those inside of others joined by "/"; empty where it is all."""
    space: gym.Space[Any]
    begin: int
    """Where it lies in a flat observation."""
    end: int

    @property
    def is_bytes(self) -> bool:
        """Whether its numbers are bytes from 0 to 255, as those of pictures."""
        space = self.space
        return isinstance(space, spaces.Box) and space.dtype == np.uint8 and bool((space.high == 255).all())


def leaves(space: gym.Space[Any]) -> list[Leaf]:
    """Return the parts of an observation in their flat order.

    Raises:
        TypeError: one of them cannot be laid flat at a fixed size, such as Text.
    """
    found, begin = [], 0
    for name, leaf in _walk(space, ""):
        if not isinstance(leaf, (spaces.Box, *_ONE_HOT)):
            where = f" at {name!r}" if name else ""
            raise TypeError(
                f"observations {leaf}{where} have no policy; Box, Discrete, MultiDiscrete, MultiBinary, and Dict "
                "and Tuple of them work"
            )
        size = int(spaces.flatdim(leaf))
        found.append(Leaf(name, leaf, begin, begin + size))
        begin += size
    return found


def _walk(space: gym.Space[Any], name: str) -> Iterator[tuple[str, gym.Space[Any]]]:
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, part in parts:
            yield from _walk(part, f"{name}/{key}" if name else str(key))
    else:
        yield name, space


def flat_size(space: gym.Space[Any]) -> int:
    """Return how many numbers a flat observation has; raises what `leaves` does."""
    return leaves(space)[-1].end


def flat_dtype(space: gym.Space[Any]) -> np.dtype[Any]:
    """Return uint8 where there are bytes and nothing beside them needs more, else float32."""
    parts = [leaf.space for leaf in leaves(space)]
    any_bytes = any(isinstance(part, spaces.Box) and part.dtype == np.uint8 for part in parts)
    fit = all(isinstance(part, _ONE_HOT) or part.dtype == np.uint8 for part in parts)
    return np.dtype(np.uint8 if any_bytes and fit else np.float32)


class Writable(Protocol):
    """What takes the observation of one environment at a time."""

    def __setitem__(self, n: Any, observation: Any) -> None:
        """Put it where environment n's belongs."""
        ...


class _Flattening:
    def __init__(self, space: gym.Space[Any], observation_NO: NDArray[Any]) -> None:
        self._space, self._observation_NO = space, observation_NO

    def __setitem__(self, n: int, observation: Any) -> None:
        self._observation_NO[n] = spaces.flatten(self._space, observation)


def writable(space: gym.Space[Any], observation_NO: NDArray[Any]) -> Writable:
    """Return a view of flat observations to which those that environments show can be assigned."""
    if isinstance(space, spaces.Box):
        # An array: the fastest way for the most frequent kind.
        shaped: NDArray[Any] = observation_NO.reshape(len(observation_NO), *space.shape)
        return shaped
    return _Flattening(space, observation_NO)


def is_action_space(space: gym.Space[Any]) -> bool:
    """Whether there is a policy for these actions."""
    if isinstance(space, spaces.Discrete):
        return bool(space.start == 0)
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.ndim == 1 and not space.start.any()
    return isinstance(space, spaces.Box) and len(space.shape) == 1


ACTION_SPACES = "Discrete and MultiDiscrete that count from 0, and Box, with one axis at most"
"""Those that `is_action_space` knows, for people."""


def legal(action: NDArray[Any], space: gym.Space[Any]) -> NDArray[Any]:
    """Return the action that an environment may be given: of a Box, the nearest one in it."""
    return np.clip(action, space.low, space.high) if isinstance(space, spaces.Box) else action
