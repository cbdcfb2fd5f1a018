"""What gates are told about a policy: how far it is from its expert, and how little an ensemble agrees.

Sources: Hoque et al. 2021, arXiv:2109.08273, section 4, for Box; the variation ratio (Freeman 1965, "Elementary applied
statistics") for choices.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals = NDArray[np.float64]


def discrepancy(policy_action: ArrayLike, expert_action: ArrayLike, space: gym.Space[Any]) -> Reals:
    """Return how far actions are from the expert's, [P], from 0.

    Args:
        policy_action: [P] (Discrete) or [P, A].
        expert_action: of the same shape.
        space: of one action.

    Returns:
        The squared Euclidean distance (Box), or the share of choices that differ (Discrete and MultiDiscrete).
    """
    policy_action, expert_action = np.asarray(policy_action), np.asarray(expert_action)
    if isinstance(space, gym.spaces.Box):
        apart = policy_action.astype(np.float64) - expert_action.astype(np.float64)
        return np.asarray((apart**2).sum(-1))
    return _mean_over_axes(policy_action != expert_action, space)


def doubt(member_action_KBA: ArrayLike, space: gym.Space[Any]) -> Reals:
    """Return how little the members of an ensemble agree, [B], from 0.

    Args:
        member_action_KBA: each member's most probable action, [K, B] (Discrete) or [K, B, A].
        space: of one action.

    Returns:
        The variance over members, as a mean over axes (Box); or the share of members that do not choose what most
        choose, as a mean over axes (Discrete and MultiDiscrete).
    """
    member_action_KBA = np.asarray(member_action_KBA)
    if isinstance(space, gym.spaces.Box):
        return np.asarray(member_action_KBA.var(0, dtype=np.float64).mean(-1))
    choices = range(int(member_action_KBA.max()) + 1)
    most_BA = np.max([(member_action_KBA == choice).mean(0) for choice in choices], 0)
    return _mean_over_axes(1 - most_BA, space)


def _mean_over_axes(values_PA: NDArray[Any], space: gym.Space[Any]) -> Reals:
    values_PA = values_PA.astype(np.float64)
    return np.asarray(values_PA.mean(-1)) if isinstance(space, gym.spaces.MultiDiscrete) else values_PA
