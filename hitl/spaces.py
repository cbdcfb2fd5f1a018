"""Action spaces of gymnasium as the wire knows them, and the action of a safe stop."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from hitl.stages import ActionSpace
from hitl.tensors import Array


def action_space_of(space: gym.Space[Any]) -> ActionSpace:
    """Describe the actions on the wire.

    Raises:
        TypeError: it is none of Discrete, MultiDiscrete and Box.
    """
    if isinstance(space, gym.spaces.Box):
        return ActionSpace(low=space.low, high=space.high)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return ActionSpace(choices=tuple(space.nvec.tolist()))
    if isinstance(space, gym.spaces.Discrete):
        return ActionSpace(choices=(int(space.n),), single=True)
    raise TypeError(f"no policy for the action space {space}; Discrete, MultiDiscrete and Box work")


def safe_action(chosen: int | Sequence[float] | None, space: gym.Space[Any]) -> Array:
    """Return the action of a safe stop: the one chosen, or else the first option, or the one nearest to 0.

    Raises:
        ValueError: the chosen one is not in the space.
    """
    box = space if isinstance(space, gym.spaces.Box) else None
    if chosen is None:
        zeros = np.zeros(space.shape or (), np.float32 if box else np.int64)
        return zeros if box is None else np.clip(zeros, box.low, box.high)
    action = np.asarray(chosen, box.dtype if box else np.int64)
    if not space.contains(action):
        raise ValueError(f"stages.safe_action: {chosen} is not in {space}")
    return action
