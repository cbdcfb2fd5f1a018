"""The reward model as a policy of its own (TAMER), as a robot or a game runs it: the action that people would praise.

Axis suffixes: N observation, O number of a flat observation, C candidate action, A axis of an action.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.serving.inference import acting_reward
from policies.acting.deployment import Deployed


class RewardDeployment(Deployed):
    """The greedy policy on a version of the reward model, among the same actions for every observation.

    Each row of a batch is answered alone, whatever the number of rows.
    """

    action_C: Tensor

    def __init__(self, ensemble: RewardEnsemble, action_C: NDArray[Any]) -> None:
        """Take over the model.

        Args:
            ensemble: on the CPU; its tensors are shared, not copied.
            action_C: the actions to choose from; see `policies.acting.on_reward.CandidateActions`.
        """
        super().__init__()
        self.ensemble = ensemble
        self.register_buffer("action_C", torch.from_numpy(np.array(action_C)))
        self._candidates = action_C
        self._acts = acting_reward(ensemble.space)
        self._acts.load(ensemble.to_arrays())
        self.memory = None
        self.inputs, self.outputs = ("observation",), ("action",)
        self.eval()

    def forward(self, observation_NO: Tensor) -> tuple[Tensor, ...]:
        """Return the action of which people would say the best, the first one where several are as good.

        int64[N] for Discrete, int64[N, A] for MultiDiscrete, float32[N, A] for Box.
        """
        # No `len`: a trace would take it for the number that it was.
        action_NC = self.action_C.expand(observation_NO.shape[0], *self.action_C.shape)
        raw_KNC = self.ensemble(*self.ensemble.inputs(observation_NO[:, None], action_NC))
        reward_NC = self.ensemble.conservatism.combined(self.ensemble.on_scale(raw_KNC))
        return (self.action_C[reward_NC.argmax(1)],)

    def shortfall(self, inputs: list[NDArray[Any]], action: NDArray[Any]) -> NDArray[Any]:
        """See `Deployed`: in what people would say, by the code that acts in the run."""
        (observation_NO,) = inputs
        best_N = self._acts.of_actions(observation_NO, self._candidates).max(1)
        shortfall_N: NDArray[Any] = best_N - self._acts.reward(observation_NO, action)
        return shortfall_N
