"""The probability of failure that ThriftyDAgger reads: 1 minus a Q function of reaching the goal.

Source: Hoque et al. 2021, arXiv:2109.08273, section 4, on risk: the value of the reward 1 for the step into the goal,
which ends the episode, and 0 for all others.
"""

import torch
from torch import Tensor


def success_target(
    *, reached_B: Tensor, terminated_B: Tensor, next_success_KB: Tensor, discount: float
) -> Tensor:
    """Return what Q should have said of each step, [B], in [0, 1] if the critics' values are.

    Args:
        reached_B: bool, the step led into the goal.
        terminated_B: bool, nothing follows the step; outside of the goal that is a failure. An episode that is cut is
            not terminated.
        next_success_KB: Q of what truly followed and the policy's own action there, by each of K critics; the lowest
            one counts, so that errors do not hide a risk.
        discount: gamma per step, in [0, 1]; below 1 a late success is worth less.
    """
    following_B = discount * next_success_KB.amin(0)
    nothing_B = torch.zeros_like(following_B)
    return torch.where(
        reached_B, torch.ones_like(following_B), torch.where(terminated_B, nothing_B, following_B)
    )


def risk(success_KP: Tensor) -> Tensor:
    """Return the probability of failure, [P], of success as K critics say it: 1 minus the lowest."""
    return (1 - success_KP.amin(0)).clamp(0.0, 1.0)
