"""What a committee says of a step before it is taken: its doubt, and how far an expert might be from the policy; and
what critics of success say of it: the risk.

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
from policies.imitation.risk import risk
from policies.networks import ActorCritic
from policies.networks.success_critic import SuccessCritic

_COMMITTEE, _SUCCESS = "committee.", "success."

States = Sequence[Mapping[str, NDArray[np.generic]]]
"""One of each network."""


def with_committee(
    weights: Mapping[str, NDArray[np.generic]], states: States, critics: States = ()
) -> dict[str, NDArray[np.generic]]:
    """Put the states of members and of critics of success beside the policy's weights, under names unknown to it."""
    named = {
        f"{prefix}{number}.{name}": value
        for prefix, of_each in ((_COMMITTEE, states), (_SUCCESS, critics))
        for number, state in enumerate(of_each)
        for name, value in state.items()
    }
    return {**weights, **named}


def without_committee(weights: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Return the policy's weights alone."""
    return {name: value for name, value in weights.items() if not name.startswith((_COMMITTEE, _SUCCESS))}


class Counsel:
    """A committee's members and critics of success where the policy acts; silent before their first weights."""

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], **model_config: Any
    ) -> None:
        """Make room for them.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            **model_config: keyword arguments of `ActorCritic`.
        """
        self._spaces, self._model_config = (observation_space, action_space), model_config
        self._members: list[ActorCritic] = []
        self._critics: list[SuccessCritic] = []

    def load(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `with_committee` put beside the policy's weights."""
        # Members without critics of their own, which say nothing of actions.
        self._load(self._members, _states(weights, _COMMITTEE), ActorCritic, strict=False)
        self._load(self._critics, _states(weights, _SUCCESS), SuccessCritic, strict=True)

    def _load(
        self, networks: list[Any], states: dict[int, dict[str, torch.Tensor]], make: Any, *, strict: bool
    ) -> None:
        while len(networks) < len(states):
            networks.append(make(*self._spaces, **self._model_config))
        for place, own in states.items():
            networks[place].load_state_dict(own, strict=strict)

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

    @torch.inference_mode()
    def risk(self, observation_NO: ObservationArray, action_NA: NDArray[Any]) -> Reals | None:
        """Return the probability that actions lead to no success, [N]; None where there are no critics of it yet.

        Args:
            observation_NO: flat.
            action_NA: the policy's.
        """
        if not self._critics:
            return None
        seen, acted = torch.from_numpy(observation_NO), torch.from_numpy(action_NA)
        success_KN = torch.stack([critic.success(seen, acted) for critic in self._critics])
        return risk(success_KN).double().numpy()


def _states(weights: Mapping[str, NDArray[np.generic]], prefix: str) -> dict[int, dict[str, torch.Tensor]]:
    """Return the states under a prefix, by their networks' numbers."""
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in weights.items():
        if name.startswith(prefix):
            number, _, inner = name.removeprefix(prefix).partition(".")
            states.setdefault(int(number), {})[inner] = torch.from_numpy(np.array(value))
    return states
