"""The reward model as a source of the learner's reward: whole rollouts are labelled with one version.

Axis suffixes: T step, N environment, P any leading axes, O number of a flat observation, A action.
"""

import torch
from torch import Tensor

from hitl.reward.network.ensemble import RewardEnsemble
from policies.steps import Steps


class LearnedReward:
    """The reward model as a `policies.rewards.RewardSource`; it has one version at a time."""

    def __init__(self, ensemble: RewardEnsemble) -> None:
        self.ensemble = ensemble

    def __call__(self, steps: Steps) -> Tensor:
        """Return the reward of each step, [T, N].

        What a recurrent model remembers begins with each episode, and anew with each rollout: of an episode that a
        rollout's begin cuts in two it has not seen the first part, as of a segment that people judge.
        """
        space, observation_TNO = self.ensemble.space, steps.observation_TNO
        if space.reads == "state_action_next":
            observation_TNO = torch.cat([observation_TNO, steps.next_observation_TNO], -1)
        if not space.memory_units:
            return self.ensemble.reward(observation_TNO, steps.action_TNA)
        begins_NT = _begins(steps).transpose(0, 1)
        reward_NT = self.ensemble.reward(
            observation_TNO.transpose(0, 1), steps.action_TNA.transpose(0, 1), begins_NT
        )
        return reward_NT.transpose(0, 1)

    def of_actions(self, observation_PO: Tensor) -> Tensor:
        """Return the reward of every Discrete action, [P, A]."""
        action_A = torch.arange(self.ensemble.space.action_size, device=observation_PO.device)
        return self.ensemble.of_actions(observation_PO, action_A)


def _begins(steps: Steps) -> Tensor:
    """Return the rows that an episode's end came before, bool[T, N]."""
    begins_TN = torch.zeros_like(steps.cut_TN, dtype=torch.bool)
    columns = begins_TN.shape[1]
    following = steps.final_index_K + columns
    begins_TN.view(-1)[following[following < begins_TN.numel()]] = True
    return begins_TN
