"""Monte-Carlo returns of the pieces of episodes in a rollout, for REINFORCE.

Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning", section 4 (episodes, baselines); reward to go: Sutton and Barto 2018, section 13.3. A piece that does
not end in a terminal state goes on, in the critic's opinion, with the value of its last observation.
"""

import torch
from torch import Tensor

from policies.advantages.rows import Advantages, Rows, summed_backwards


def reward_to_go(rows: Rows) -> Advantages:
    """Weigh each action by what followed it, to the end of its piece; the baseline is the critic's value."""
    return_TN = _to_the_end(rows)
    return Advantages(return_TN - rows.value_TN, target_TN=return_TN, return_TN=return_TN)


def total_return(rows: Rows) -> Advantages:
    """Weigh each action by the return of its whole piece; the baseline is the value of the piece's first row.

    The critic still learns the reward to go.
    """
    target_TN = _to_the_end(rows)
    first_TN = _first_row(rows.cut_TN)
    return_TN = target_TN.gather(0, first_TN)
    return Advantages(return_TN - rows.value_TN.gather(0, first_TN), target_TN=target_TN, return_TN=return_TN)


def _to_the_end(rows: Rows) -> Tensor:
    ends_TN = rows.cut_TN.clone()
    ends_TN[-1] = True
    bootstrap_TN = torch.where(ends_TN, rows.following, torch.zeros_like(rows.following))
    return summed_backwards(rows.reward_TN + bootstrap_TN, rows.carry)


def _first_row(cut_TN: Tensor) -> Tensor:
    """Return the index in T of the first row of each row's piece."""
    index_T = torch.arange(len(cut_TN), device=cut_TN.device)
    begins_TN = torch.cat([torch.ones_like(cut_TN[:1]), cut_TN[:-1]])
    return torch.where(begins_TN, index_T[:, None], 0).cummax(0).values
