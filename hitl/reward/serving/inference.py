"""The reward model without torch, for whoever acts by it: small networks answer faster from NumPy.

Axis suffixes: K member, N state, C candidate action, P any leading axis, F input feature.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hitl.reward.network.conservatism import Conservatism
from hitl.reward.network.inputs import InputSpace
from policies.acting.inference import Weights

Reals = NDArray[np.float32]

_SCALES = ("input_mean", "input_std", "gauge_std_K")


class ActingReward(Protocol):
    """The reward model as an actor needs it; every reward is 0 before the first version."""

    def load(self, arrays: Weights) -> None:
        """Take over a version made by `RewardEnsemble.to_arrays`; the arrays are copied."""
        ...

    def reward(self, observation_PO: NDArray[Any], action_PA: NDArray[Any]) -> Reals:
        """Return the reward of these steps, float32[P]."""
        ...

    def of_actions(self, observation_NO: NDArray[Any], action_C: NDArray[Any]) -> Reals:
        """Return the reward of each candidate action in each state, float32[N, C]."""
        ...


def acting_reward(space: InputSpace) -> ActingReward:
    """Return what answers fastest: NumPy, but torch where there are images."""
    if not space.images:
        return NumpyReward(space)
    from hitl.reward.serving.torch_inference import TorchReward

    return TorchReward(space)


class NumpyReward:
    """What `RewardEnsemble.reward` is, on the fixed scale of its version; 0 before the first version."""

    def __init__(self, space: InputSpace) -> None:
        self._space = space
        self._layers: list[tuple[Reals, Reals]] = []
        self._over_std_K: Reals = np.ones(0, np.float32)
        self._mean_K: Reals = np.zeros(0, np.float32)
        self._conservatism = Conservatism()

    def load(self, arrays: Weights) -> None:
        """Take over a version made by `RewardEnsemble.to_arrays`; the arrays are copied."""
        mean, std, gauge = (np.array(arrays[name], np.float32) for name in _SCALES)
        count = sum(name.startswith("weights.") for name in arrays)
        layers = [
            (
                np.array(arrays[f"weights.{number}"], np.float32),
                np.array(arrays[f"biases.{number}"], np.float32),
            )
            for number in range(count)
        ]
        # The scale of the inputs becomes a part of the first layer.
        weight, bias = layers[0]
        scaled = weight / std[:, None]
        layers[0] = (scaled, bias - (mean @ scaled)[:, None])
        self._layers = layers
        self._over_std_K = np.reciprocal(gauge)
        self._mean_K = np.array(arrays["gauge_mean_K"], np.float32)
        self._conservatism = Conservatism.of_arrays(arrays)

    def reward(self, observation_PO: NDArray[Any], action_PA: NDArray[Any]) -> Reals:
        """Return the reward of these steps, float32[P]."""
        if not self._layers:
            return np.zeros(len(observation_PO), np.float32)
        return self._of(self._space.read(observation_PO.reshape(len(observation_PO), -1), action_PA))

    def of_actions(self, observation_NO: NDArray[Any], action_C: NDArray[Any]) -> Reals:
        """Return the reward of each candidate action in each state, float32[N, C]."""
        states, candidates = len(observation_NO), len(action_C)
        if not self._layers:
            return np.zeros((states, candidates), np.float32)
        input_NCF = self._space.read_all(observation_NO.reshape(states, -1), action_C)
        return self._of(input_NCF.reshape(states * candidates, -1)).reshape(states, candidates)

    def _of(self, input_PF: Reals) -> Reals:
        hidden: Any = input_PF
        for layer, (weight, bias) in enumerate(self._layers):
            hidden = np.matmul(hidden, weight)
            hidden += bias
            if layer < len(self._layers) - 1:
                np.tanh(hidden, out=hidden)
        reward_KP = (hidden[..., 0] - self._mean_K[:, None]) * self._over_std_K[:, None]
        reward_P: Reals = self._conservatism.combined(reward_KP)
        return reward_P
