"""What a committee says of a step before it is taken: its doubt, and how far an expert might be from the policy.

Axis suffixes: K member, N environment, A axis of an action.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from policies.experience import ObservationArray
from policies.imitation.gates import discrepancy, doubt
from policies.imitation.gates.measures import Reals
from policies.networks import ActorCritic

_PREFIX = "committee."


def with_committee(
    weights: Mapping[str, NDArray[np.generic]], states: Sequence[Mapping[str, NDArray[np.generic]]]
) -> dict[str, NDArray[np.generic]]:
    """Put the members' states beside the policy's weights, under names that the policy does not know."""
    named = {
        f"{_PREFIX}{number}.{name}": value
        for number, state in enumerate(states)
        for name, value in state.items()
    }
    return {**weights, **named}


def without_committee(weights: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Return the policy's weights alone."""
    return {name: value for name, value in weights.items() if not name.startswith(_PREFIX)}


class Counsel:
    """A committee's members where the policy acts; it has nothing to say before its first weights."""

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], **model_config: Any
    ) -> None:
        """Make room for members.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            **model_config: keyword arguments of `ActorCritic`.
        """
        self._spaces, self._model_config = (observation_space, action_space), model_config
        self._members: list[ActorCritic] = []

    def load(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `with_committee` put beside the policy's weights."""
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in weights.items():
            if name.startswith(_PREFIX):
                number, _, inner = name.removeprefix(_PREFIX).partition(".")
                states.setdefault(int(number), {})[inner] = torch.from_numpy(np.array(value))
        while len(self._members) < len(states):
            self._members.append(ActorCritic(*self._spaces, **self._model_config))
        for place, own in states.items():
            # Without critics, which say nothing of actions.
            self._members[place].load_state_dict(own, strict=False)

    @torch.inference_mode()
    def about(self, observation_NO: ObservationArray, action_NA: NDArray[Any]) -> tuple[Reals, Reals]:
        """Return the doubt in each state and the discrepancy to expect there, [N] each.

        The members are guesses of the expert, as likely as each other: what is to be expected of the discrepancy is its
        mean over them.

        Args:
            observation_NO: flat.
            action_NA: the policy's.

        Raises:
            ValueError: no weights have come yet.
        """
        if not self._members:
            raise ValueError("the committee has no weights yet; load them before it is asked")
        seen = torch.from_numpy(observation_NO)
        action_KNA = np.stack([member.act_greedily(seen).numpy() for member in self._members])
        space = self._spaces[1]
        apart_KN = [discrepancy(action_NA, member_action_NA, space) for member_action_NA in action_KNA]
        return doubt(action_KNA, space), np.mean(apart_KN, 0)
