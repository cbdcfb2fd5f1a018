"""Rewards on a scale on which returns have variance 1.

Source: "The 37 implementation details of PPO" (Huang et al. 2022), continuous actions, details 8 and 9.
"""

from typing import Any

import torch
from torch import Tensor

from policies.advantages import over_duration
from policies.advantages.rows import summed_backwards
from policies.experience import Rollout
from policies.normalisation.moments import Moments
from policies.settings import FURTHEST, TINY
from policies.steps import Steps


class RewardScale:
    """Divides rewards by the standard deviation of the discounted returns that they add up to.

    A return begins with an episode and is carried from one rollout to the next of the same environment.
    """

    def __init__(self, *, discount: float, device: torch.device) -> None:
        self._discount = discount
        self._moments = Moments().to(device)
        self._carried: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, rollout: Rollout, steps: Steps, reward_TN: Tensor) -> Tensor:
        """Take in the rollout's returns; returns its rewards, scaled and clipped, [T, N]."""
        duration_TN = torch.tensor(rollout.duration_TN, device=reward_TN.device)
        earned_TN, discount_TN = over_duration(
            reward_TN=reward_TN, duration_TN=duration_TN, discount=self._discount
        )
        carry_TN = discount_TN * ~steps.cut_TN
        earned_TN[0] += self._carried_into(rollout, earned_TN[0])
        before_TN = torch.cat([torch.zeros_like(carry_TN[:1]), carry_TN[:-1]])
        return_TN = summed_backwards(earned_TN.flip(0), before_TN.flip(0)).flip(0)
        self._carry(rollout, carry_TN[-1] * return_TN[-1])
        self._moments.take(return_TN[duration_TN > 0])
        return self.scaled(reward_TN)

    def scaled(self, reward_TN: Tensor) -> Tensor:
        """Return rewards, scaled as those of the last rollout and clipped."""
        scale = (self._moments.variance + TINY).rsqrt()
        return (reward_TN * scale).clamp(-FURTHEST, FURTHEST)

    def _carried_into(self, rollout: Rollout, like_N: Tensor) -> Tensor:
        """Return what the episodes that go on have earned before this rollout, 0 for those that begin with it."""
        goes_on_N = torch.tensor(rollout.step_TN[0] > 0, device=like_N.device)
        carried = [self._carried.get(name, like_N.new_zeros(count)) for name, count in rollout.parts]
        return torch.cat(carried) * goes_on_N

    def _carry(self, rollout: Rollout, return_N: Tensor) -> None:
        parts = torch.split(return_N, [count for _, count in rollout.parts])
        self._carried |= {name: part for (name, _), part in zip(rollout.parts, parts, strict=True)}

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep, as arrays."""
        return {name: value.cpu().numpy() for name, value in self._moments.state_dict().items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._moments.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        self._carried = {}
