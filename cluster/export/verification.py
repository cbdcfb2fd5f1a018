"""A file answers as the policy does, or it is refused."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from cluster.export.file_format import Answers
from hitl.errors import HandrailError
from policies.acting.deployment import Deployed
from policies.spaces import flat_dtype

OBSERVATIONS = 64
"""That a file is asked about."""
_TOLERANCE = 1e-4
_FURTHEST = 1e3


def random_observations(space: gym.Space[Any], count: int) -> NDArray[Any]:
    """Draw flat observations, always the same ones, [N, O]."""
    space.seed(0)
    drawn: NDArray[Any] = np.stack(
        [np.asarray(gym.spaces.flatten(space, space.sample())) for _ in range(count)]
    )
    # Bounds may be as wide as floating point itself, where networks answer nothing but infinities.
    observation_NO: NDArray[Any] = np.clip(drawn, -_FURTHEST, _FURTHEST).astype(flat_dtype(space))
    return observation_NO


def random_inputs(policy: Deployed, space: gym.Space[Any], count: int) -> list[NDArray[Any]]:
    """Draw what a policy takes, always the same: observations, and where it is recurrent memories."""
    observation_NO = random_observations(space, count)
    if policy.memory is None:
        return [observation_NO]
    draws = np.random.default_rng(0)
    return [observation_NO, draws.uniform(-1, 1, (count, policy.memory.units)).astype(np.float32)]


@torch.no_grad()
def verify(answers: Answers, policy: Deployed, inputs: Sequence[NDArray[Any]], *, what: str) -> None:
    """Compare a loaded file with the policy that it was made of, for a batch and for its first row alone.

    Where two actions are nearly as good as each other, either will do: another runtime adds up in another order.

    Raises:
        HandrailError: they differ, or the policy answers no numbers; the message names `what`.
    """
    for count in (len(inputs[0]), 1):
        rows = [array[:count] for array in inputs]
        expected = [output.numpy() for output in policy(*map(torch.from_numpy, rows))]
        found = answers(rows)
        if not all(np.isfinite(output).all() for output in expected):
            raise HandrailError("the policy answers with infinities; its training has diverged")
        if [(o.shape, o.dtype) for o in found] != [(o.shape, o.dtype) for o in expected] or not all(
            _agree(policy, name, rows, own, other)
            for name, own, other in zip(policy.outputs, expected, found, strict=True)
        ):
            raise HandrailError(
                f"the {what} file does not answer as the policy does, so it was not kept; "
                "please report this with the run's file"
            )


def _agree(
    policy: Deployed, name: str, rows: list[NDArray[Any]], own: NDArray[Any], other: NDArray[Any]
) -> bool:
    shortfall = policy.shortfall(rows, other) if name == "action" else None
    if shortfall is None:
        return bool(np.allclose(other, own, rtol=_TOLERANCE, atol=_TOLERANCE))
    return bool((shortfall < _TOLERANCE).all())
