"""Whether what was shown in one environment can be imitated in another."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


def check_spaces(
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    of_task: tuple[gym.Space[Any], gym.Space[Any]],
) -> None:
    """Compare the spaces of demonstrations with those of a task.

    Bounds of actions must be equal, because a number means another action where they are not. Those of observations
    need not be: no policy reads them, and they change from one version of an environment to the next.

    Raises:
        ValueError: says what differs.
    """
    pairs = zip(
        ("observations", "actions"), (observation_space, action_space), of_task, (False, True), strict=True
    )
    for what, theirs, ours, bounds in pairs:
        if reason := _difference(theirs, ours, bounds=bounds):
            raise ValueError(f"its {what} are not this task's: {reason}")


def _difference(theirs: gym.Space[Any], ours: gym.Space[Any], *, bounds: bool, at: str = "") -> str:
    """Say what differs; empty where nothing that counts does."""
    where = f" at {at!r}" if at else ""
    if type(theirs) is not type(ours):
        return f"{theirs}{where}, but the task has {ours}"
    if isinstance(theirs, spaces.Dict | spaces.Tuple):
        first, second = _parts(theirs), _parts(ours)
        if first.keys() != second.keys():
            return f"the keys{where} are {sorted(first)}, but the task has {sorted(second)}"
        names = {key: f"{at}/{key}" if at else key for key in first}
        reasons = (_difference(first[k], second[k], bounds=bounds, at=names[k]) for k in first)
        return next(filter(None, reasons), "")
    same = _is_same_box(theirs, ours, bounds=bounds) if isinstance(theirs, spaces.Box) else theirs == ours
    return "" if same else f"{theirs}{where}, but the task has {ours}"


def _parts(space: Any) -> Mapping[str, gym.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return space.spaces
    return {str(place): part for place, part in enumerate(space.spaces)}


def _is_same_box(theirs: Any, ours: Any, *, bounds: bool) -> bool:
    kinds = [np.issubdtype(space.dtype, np.floating) or space.dtype for space in (theirs, ours)]
    if theirs.shape != ours.shape or kinds[0] != kinds[1]:
        return False
    return not bounds or (np.allclose(theirs.low, ours.low) and np.allclose(theirs.high, ours.high))
