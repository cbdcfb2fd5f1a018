"""What a deployed policy expects and what it answers, as JSON: all that its user must know of the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from cluster.export.saved_deployment import SavedDeployment
from cluster.runs.config import RunConfig
from policies.spaces import Leaf, leaves

BATCH = "batch"
"""Stands in a shape for the number of observations."""


def contract(
    saved: SavedDeployment,
    example: Sequence[NDArray[Any]],
    *,
    run_id: str,
    config: RunConfig,
    checkpoint: Path,
) -> dict[str, Any]:
    """Describe a deployed policy.

    Args:
        saved: the policy as it is deployed.
        example: its inputs, a batch of them.
        run_id: of the run that trained it.
        config: of that run.
        checkpoint: that it comes from.
    """
    inputs, policy = list(map(torch.from_numpy, example)), saved.policy
    with torch.no_grad():
        outputs = policy(*inputs)
    return {
        "run": run_id,
        "checkpoint": checkpoint.name,
        saved.version_of: saved.version,
        "environment": {"id": config.environment.id, "kwargs": config.environment.kwargs},
        "network": saved.network,
        "inputs": _ports(policy.inputs, inputs),
        "outputs": _ports(policy.outputs, outputs),
        "observation": {
            "space": str(saved.observation_space),
            "parts": [_part(leaf) for leaf in leaves(saved.observation_space)],
        },
        "action": {
            "space": str(saved.action_space),
            "meaning": saved.meaning,
            **_options(saved.action_space),
        },
    }


def _ports(names: Sequence[str], tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": [BATCH, *tensor.shape[1:]],
        }
        for name, tensor in zip(names, tensors, strict=True)
    ]


def _part(leaf: Leaf) -> dict[str, Any]:
    """Where a part of an observation lies in the flat one, and how it is written there."""
    space = leaf.space
    part: dict[str, Any] = {"name": leaf.name, "begin": leaf.begin, "end": leaf.end}
    if isinstance(space, spaces.Discrete):
        return part | {"layout": "one-hot", "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        axes = {"options": space.nvec.ravel().tolist(), "start": space.start.ravel().tolist()}
        return part | {"layout": "one-hot of each axis, side by side"} | axes
    shape = list(space.shape or ())
    bounds = _bounds(space) if isinstance(space, spaces.Box) else {"low": 0, "high": 1}
    return part | {"layout": "numbers, the last axis changes fastest", "shape": shape} | bounds


def _options(space: gym.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Discrete):
        return {"options": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"options": space.nvec.tolist()}
    assert isinstance(space, spaces.Box)
    return _bounds(space)


def _bounds(space: spaces.Box) -> dict[str, Any]:
    return {"low": _numbers(space.low), "high": _numbers(space.high)}


def _numbers(array: NDArray[Any]) -> Any:
    """Numbers in flat order, or one where all are the same; None where there is no bound, which JSON cannot say."""
    numbers = [value if np.isfinite(value) else None for value in array.ravel().tolist()]
    return numbers[0] if len(set(numbers)) == 1 else numbers
