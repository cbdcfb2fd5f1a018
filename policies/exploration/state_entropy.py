"""A reward for states unlike those that were seen before: the entropy of states, estimated by nearest neighbours.

Sources: Lee, Smith and Abbeel 2021, "PEBBLE", arXiv:2106.05091, section 4.1; Liu and Abbeel 2021, "Behavior from the
void: unsupervised active pre-training", arXiv:2103.04551, section 3.2, from where the 1 within the logarithm is; the
estimator is that of Singh et al. 2003, "Nearest neighbor estimates of entropy".

Axis suffixes: P state, R state that is kept, F feature.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.exploration.reservoir import Reservoir
from policies.normalisation.moments import Moments
from policies.settings import FURTHEST, TINY
from policies.steps import Steps

_WIDEST = 512
"""Numbers of an observation that are compared as they are."""
_PROJECTED = 64
"""Numbers that are left of a wider one, such as an image."""
_CHUNK = 2**22
"""Distances that are in memory together."""
_EXACT = 16
"""Features up to which distances are sums of squared differences; of more they are made of a matrix product."""
_MEASURED = 1024
"""States of a batch on which the scale of rewards is measured."""


class StateEntropy:
    """log(1 + distance to the k-th nearest of the states seen so far), over its standard deviation.

    The state is the one that a step led to. Distances are Euclidean, between observations that are brought to mean 0
    and variance 1 by running statistics. Observations of more than 512 numbers are projected on 64 fixed random
    directions first, which keeps distances nearly (Johnson and Lindenstrauss 1984); for images that is the random
    encoder of Seo et al. 2021, arXiv:2102.09430, with one linear layer.

    To judge changes nothing; `observe` takes states in.
    """

    def __init__(self, size: int, *, neighbours: int, states: int, seed: int, device: torch.device) -> None:
        """Begin without a state.

        Args:
            size: numbers of a flat observation.
            neighbours: k.
            states: that are kept, at most: a uniform sample of all that were seen.
            seed: of what is kept and of the directions; k learners need the same.
            device: where states are kept and compared.
        """
        self._neighbours, self._device = neighbours, device
        generator = torch.Generator().manual_seed(seed)
        self._projection_OF: Tensor | None = None
        if size > _WIDEST:
            directions_OF = torch.randn((size, _PROJECTED), generator=generator) / math.sqrt(size)
            self._projection_OF = directions_OF.to(device)
        features = min(size, _PROJECTED) if size > _WIDEST else size
        self._kept = Reservoir(states, features, generator=generator, device=device)
        self._moments, self._reward_moments = Moments(features).to(device), Moments().to(device)

    @torch.no_grad()
    def __call__(self, steps: Steps) -> Tensor:
        """Return the reward of each step, [T, N].

        Before the first states are kept, those of the batch are compared with each other.
        """
        state_PF = self._features(steps.next_observation_TNO.flatten(0, 1))
        reward_P = self._reward(state_PF, self._kept.rows if len(self._kept) else state_PF)
        scale = (self._reward_moments.variance + TINY).rsqrt()
        return (reward_P * scale).view(steps.cut_TN.shape)

    @torch.no_grad()
    def observe(self, steps: Steps) -> None:
        """Take in where a batch's steps led to."""
        following_TNO = steps.next_observation_TNO
        state_PF = self._features(steps.counted(following_TNO))
        if len(self._kept):
            some_PF = state_PF[:: max(1, len(state_PF) // _MEASURED)]
            self._reward_moments.take(self._reward(some_PF, self._kept.rows))
        self._moments.take(state_PF)
        self._kept.take(state_PF)

    def _features(self, observation_PO: Tensor) -> Tensor:
        observation_PO = observation_PO.to(torch.float32)
        return observation_PO if self._projection_OF is None else observation_PO @ self._projection_OF

    def _reward(self, state_PF: Tensor, kept_RF: Tensor) -> Tensor:
        kept_RF = self._normalised(kept_RF)
        neighbours = min(self._neighbours, len(kept_RF))
        exact = state_PF.shape[-1] <= _EXACT
        mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
        rewards = []
        for part_PF in torch.split(self._normalised(state_PF), max(1, _CHUNK // len(kept_RF))):
            distance_PR = torch.cdist(part_PF, kept_RF, compute_mode=mode)
            nearest_PK = distance_PR.topk(neighbours, dim=-1, largest=False).values
            rewards.append(torch.log1p(nearest_PK[:, -1]))
        return torch.cat(rewards)

    def _normalised(self, state_PF: Tensor) -> Tensor:
        scale = (self._moments.variance + TINY).rsqrt()
        return ((state_PF - self._moments.mean) * scale).clamp(-FURTHEST, FURTHEST)

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as arrays: the states too, for what was seen must not be new again."""
        return {
            "kept": self._kept.get_state(),
            "moments": _arrays(self._moments),
            "reward_moments": _arrays(self._reward_moments),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self._kept.set_state(state["kept"])
        for name, moments in (("moments", self._moments), ("reward_moments", self._reward_moments)):
            moments.load_state_dict({key: torch.tensor(value) for key, value in state[name].items()})


def _arrays(moments: Moments) -> dict[str, np.ndarray]:
    return {name: value.cpu().numpy().copy() for name, value in moments.state_dict().items()}
