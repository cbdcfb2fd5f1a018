"""The reward model with torch, for whoever acts by it and sees images: each is read once for all actions.

Axis suffixes: P any leading axis, N state, C candidate action.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hitl.reward.network.ensemble import RewardEnsemble, Weights
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.inference import Reals


class TorchReward:
    """What `NumpyReward` is, by the ensemble itself."""

    def __init__(self, space: InputSpace) -> None:
        self._space = space
        self._ensemble: RewardEnsemble | None = None

    def load(self, arrays: Weights) -> None:
        """Take over a version made by `RewardEnsemble.to_arrays`; the arrays are copied."""
        if self._ensemble is None:
            self._ensemble = RewardEnsemble.of_arrays(self._space, arrays)
        else:
            self._ensemble.load_arrays(arrays)

    @torch.inference_mode()
    def reward(self, observation_PO: NDArray[Any], action_PA: NDArray[Any]) -> Reals:
        """Return the reward of these steps, float32[P]."""
        if self._ensemble is None:
            return np.zeros(len(observation_PO), np.float32)
        flat_PO = torch.from_numpy(observation_PO.reshape(len(observation_PO), -1))
        reward_P: Reals = self._ensemble.reward(flat_PO, torch.from_numpy(action_PA)).numpy()
        return reward_P

    @torch.inference_mode()
    def of_actions(self, observation_NO: NDArray[Any], action_C: NDArray[Any]) -> Reals:
        """Return the reward of each candidate action in each state, float32[N, C]."""
        states = len(observation_NO)
        if self._ensemble is None:
            return np.zeros((states, len(action_C)), np.float32)
        flat_NO = torch.from_numpy(observation_NO.reshape(states, -1))
        reward_NC: Reals = self._ensemble.of_actions(flat_NO, torch.from_numpy(action_C)).numpy()
        return reward_NC
