"""A rollout on the learner's device."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.experience import Actor, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What reward sources and the critic look at, time-major and on the learner's device."""

    shown_TNO: Tensor
    """[T + 1, N, O]: row t + 1 is what the environment showed after step t; see `Rollout`."""
    final_index_K: Tensor
    """Steps at which an episode ended, as t * N + n."""
    final_observation_KO: Tensor
    """What truly followed these steps."""
    action_TNA: Tensor
    cut_TN: Tensor
    """The next row belongs to another episode, or to somebody else's actions."""
    environment_reward_TN: Tensor | None
    """Only in a run whose reward sources name the environment."""
    counts_TN: Tensor | None = None
    """1 where the row stands for a time, 0 where its duration is 0; only where there is such a row."""

    def counted(self, value_TN: Tensor) -> Tensor:
        """Return the values of the rows that count, with one axis for all."""
        value_P = value_TN.flatten(0, 1)
        return value_P if self.counts_TN is None else value_P[self.counts_TN.flatten() > 0]

    @property
    def observation_TNO(self) -> Tensor:
        """What each action was an answer to."""
        return self.shown_TNO[:-1]

    @property
    def next_observation_TNO(self) -> Tensor:
        """What truly followed each step, also where the episode was cut; a copy."""
        return self.with_finals(self.shown_TNO[1:], self.final_observation_KO)

    def with_finals(self, shown_TN: Tensor, final_K: Tensor) -> Tensor:
        """Return what follows each step: what was shown then, or at an episode's end what is given for it."""
        following = shown_TN.flatten(0, 1).clone()
        following[self.final_index_K] = final_K
        return following.view(shown_TN.shape)


def steps_on(device: torch.device, rollout: Rollout) -> Steps:
    """Move a rollout to the learner's device, once."""
    reward, counts = rollout.environment_reward_TN, rollout.duration_TN > 0
    cut_TN = rollout.terminated_TN | rollout.truncated_TN | _meets_override(rollout)
    return Steps(
        shown_TNO=torch.tensor(rollout.observation_TNO, device=device).flatten(2),
        final_index_K=torch.tensor(rollout.final_index_K, device=device),
        final_observation_KO=torch.tensor(rollout.final_observation_KO, device=device).flatten(1),
        action_TNA=torch.tensor(rollout.action_TNA, device=device),
        cut_TN=torch.tensor(cut_TN, device=device),
        environment_reward_TN=None if reward is None else torch.tensor(reward, device=device),
        counts_TN=None if counts.all() else torch.tensor(counts, dtype=torch.float32, device=device),
    )


def _meets_override(rollout: Rollout) -> NDArray[np.bool_]:
    """Where a step or the one after it was overridden: the policy's return ends there, and is bootstrapped."""
    overridden_TN = (rollout.actor_TN == Actor.EXPERT) | (rollout.actor_TN == Actor.TEACHER)
    following_TN = np.concatenate([overridden_TN[1:], np.zeros_like(overridden_TN[:1])])
    meets: NDArray[np.bool_] = overridden_TN | following_TN
    return meets
