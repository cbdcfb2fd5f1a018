"""The newest steps of rollouts with what the environment said of their goal, to learn from again and again.

Axis suffixes: B step, O observation, A action.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.experience import Actor, Rollout


class StepBatch(NamedTuple):
    """Some of them, on the learner's device."""

    observation_BO: Tensor
    action_BA: Tensor
    next_observation_BO: Tensor
    """What truly followed; without a meaning where nothing does."""
    outcome_B: Tensor
    """As `policies.experience.Outcome`."""


class RecentSteps:
    """Steps in the order in which they came; the oldest make room for new ones."""

    def __init__(self, *, most: int) -> None:
        """Begin without any.

        Args:
            most: that are kept.
        """
        self._most = most
        self._parts: dict[str, NDArray[np.generic]] = {}

    def __len__(self) -> int:
        return len(self._parts["outcome_B"]) if self._parts else 0

    def take(self, *rollouts: Rollout) -> None:
        """Take in all steps of rollouts in which somebody acted, whoever that was.

        Raises:
            ValueError: a rollout does not say what came of the goal.
        """
        parts = [*([self._parts] if self._parts else []), *map(_acted, rollouts)]
        if parts:
            self._parts = {
                name: np.concatenate([part[name] for part in parts])[-self._most :] for name in parts[0]
            }

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> StepBatch:
        """Draw steps, with replacement, by a generator on the CPU."""
        rows = torch.randint(len(self), (count,), generator=generator).numpy()
        return StepBatch(*(torch.from_numpy(part[rows]).to(device) for part in self._parts.values()))

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """Return what a checkpoint keeps: all of them."""
        return dict(self._parts)

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from what `get_state` returned, with the newest that there is room for."""
        self._parts = {name: np.array(part[-self._most :]) for name, part in state.items()}


def _acted(rollout: Rollout) -> dict[str, NDArray[np.generic]]:
    """Return the parts of a `StepBatch` of the steps in which somebody acted."""
    if rollout.outcome_TN is None:
        raise ValueError("the rollout has no outcomes; collect it with share_outcome")
    count = rollout.steps
    following_BO = rollout.observation_TNO[1:].reshape(count, -1).copy()
    following_BO[rollout.final_index_K] = rollout.final_observation_KO
    steps: dict[str, NDArray[np.generic]] = {
        "observation_BO": rollout.observation_TNO[:-1].reshape(count, -1),
        "action_BA": rollout.action_TNA.reshape(count, *rollout.action_TNA.shape[2:]),
        "next_observation_BO": following_BO,
        "outcome_B": rollout.outcome_TN.reshape(count),
    }
    acted_B = rollout.actor_TN.reshape(count) != Actor.NOBODY
    return {name: part[acted_B] for name, part in steps.items()}
