"""Features of every action at once, for rewards that are linear in them.

Axis suffixes: N observation, O observation's axis, A action, F feature, G point of a grid.
"""

import itertools
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.by_name import find
from hitl.errors import ConfigError

Floats = NDArray[np.float32]


class ActionFeatures(Protocol):
    """What a reward that is linear looks at: a task's own function, or `RadialFeatures`."""

    def __call__(self, observation_NO: NDArray[Any]) -> Floats:
        """Return the features of each discrete action in each observation, [N, A, F]."""
        ...


def load_features(name: str, observation_size: int, actions: int) -> tuple[ActionFeatures, int]:
    """Find a task's own features by their name, and try them on an observation of zeros.

    Args:
        name: module:function.
        observation_size: numbers of a flat observation.
        actions: discrete ones.

    Returns:
        The function, and how many features it gives.

    Raises:
        ConfigError: it cannot be imported or called, or returns something else.
    """
    features: ActionFeatures = find(name, "features", kind="function")
    try:
        shape = np.shape(features(np.zeros((2, observation_size), np.float32)))
    except Exception as error:
        raise ConfigError(
            f"features {name!r} failed on two observations of {observation_size} zeros: {error}"
        ) from error
    if len(shape) != 3 or shape[:2] != (2, actions):
        raise ConfigError(
            f"features {name!r} gave an array of shape {shape} for two observations; "
            f"it must be (2, {actions}, features): those of each action in each observation"
        )
    return features, shape[2]


class RelativeFeatures:
    """How the features of each action differ from the mean of all actions, and a constant.

    People approve of what is better than the alternatives, so this is what their signals are about.
    """

    def __init__(self, features: ActionFeatures) -> None:
        self._features = features

    def __call__(self, observation_NO: NDArray[Any]) -> Floats:
        """See `ActionFeatures`."""
        feature_NAF = self._features(observation_NO)
        apart_NAF = feature_NAF - feature_NAF.mean(1, keepdims=True)
        constant_NA1 = np.ones((*feature_NAF.shape[:2], 1), np.float32)
        return np.concatenate([apart_NAF, constant_NA1], 2)


class RadialFeatures:
    """Gaussian bumps on a grid over the observation, and a constant, for each action apart.

    The observation's axes need bounds. Neighbouring bumps are one standard deviation apart. Source: Knox and Stone
    2009, section 4.2 (Mountain Car).
    """

    def __init__(self, observation_space: gym.spaces.Box, actions: int, *, per_axis: int) -> None:
        low, high = observation_space.low.ravel(), observation_space.high.ravel()
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError(f"{observation_space} has no bounds to lay a grid between")
        self._low, self._span = low.astype(np.float64), (high - low).astype(np.float64)
        self._actions, self._per_axis = actions, per_axis
        ticks = np.linspace(0.0, 1.0, per_axis)
        self._centre_GO = np.array(list(itertools.product(ticks, repeat=len(low))))
        self.size = actions * (len(self._centre_GO) + 1)

    def __call__(self, observation_NO: NDArray[Any]) -> Floats:
        """See `ActionFeatures`."""
        place_N1O = ((observation_NO - self._low) / self._span)[:, None]
        distance_NG = ((place_N1O - self._centre_GO) ** 2).sum(-1) * (self._per_axis - 1) ** 2
        bump_NG = np.concatenate([np.exp(-0.5 * distance_NG), np.ones((len(distance_NG), 1))], 1)
        apart_NAAG = np.eye(self._actions)[:, :, None] * bump_NG[:, None, None]
        feature_NAF: Floats = apart_NAAG.reshape(len(bump_NG), self._actions, -1).astype(np.float32)
        return feature_NAF
