"""How much of a space is seen before anybody has said what is wanted: state entropy against the untrained policy."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.loop import Loop, World
from cluster.environments.making import spaces_of
from cluster.runs.config import EnvironmentConfig
from policies.experience import Rollout
from policies.exploration.state_entropy import StateEntropy
from policies.spaces import flat_size

CELLS, UPDATES = 25, 20
"""Cells of each of two axes; updates of 2,048 steps."""
_Plane = Callable[[NDArray[np.floating]], NDArray[np.floating]]


def _mountain_car(state_PO: NDArray[np.floating]) -> NDArray[np.floating]:
    """Position and velocity, between 0 and 1."""
    return (state_PO - [-1.2, -0.07]) / [1.8, 0.14]


def _pendulum(state_PO: NDArray[np.floating]) -> NDArray[np.floating]:
    """Angle and speed, between 0 and 1."""
    angle_P = np.arctan2(state_PO[:, 1], state_PO[:, 0])
    return np.stack([angle_P / (2 * np.pi) + 0.5, state_PO[:, 2] / 16 + 0.5], -1)


WORLDS: dict[str, tuple[World, _Plane]] = {
    "mountain_car": (
        World(environment=EnvironmentConfig(id="MountainCarContinuous-v0"), discount=0.99),
        _mountain_car,
    ),
    "pendulum": (World(environment=EnvironmentConfig(id="Pendulum-v1"), discount=0.95), _pendulum),
}


def covered(name: str, *, explores: bool, seed: int, updates: int = UPDATES) -> list[float]:
    """Return the share of cells that were visited so far, after each update.

    Args:
        name: of the world.
        explores: whether the policy learns to see what was not seen; otherwise it stays as it was initialised.
        seed: of everything.
        updates: how many.
    """
    world, plane = WORLDS[name]
    space, _ = spaces_of(world.environment)
    device = torch.device("cpu")
    entropy = StateEntropy(flat_size(space), neighbours=5, states=8192, seed=seed, device=device)
    loop = Loop(world, {"intrinsic": entropy}, seed=seed)
    visited, shares = np.zeros((CELLS, CELLS), bool), []
    for _ in range(updates):
        collected = loop.collect()
        place_P2 = np.clip(plane(_states(collected.rollout)) * CELLS, 0, CELLS - 1).astype(np.int64)
        visited[place_P2[:, 0], place_P2[:, 1]] = True
        shares.append(float(visited.mean()))
        if explores:
            loop.learn(collected)
    return shares


def _states(rollout: Rollout) -> NDArray[np.floating]:
    shown_PO = rollout.observation_TNO[:-1].reshape(rollout.steps, -1)
    return np.concatenate([shown_PO, rollout.final_observation_KO])
