"""n-step returns: the rewards of n rows, then the critic.

Source: Mnih et al. 2016, "Asynchronous methods for deep reinforcement learning", arXiv:1602.01783, section 4
(advantage actor-critic), where, unlike here, n shrinks towards the end of each rollout for all rows alike.
"""

import torch

from policies.advantages.rows import Advantages, Rows


def n_step(rows: Rows, *, n: int) -> Advantages:
    """Estimate advantages; a return ends before its n rows where an episode or the rollout does.

    Args:
        rows: rewards, values and edges.
        n: rows, at least 1; one of some duration counts once.
    """
    ends_TN = rows.cut_TN.clone()
    ends_TN[-1] = True
    return_TN = rows.reward_TN + rows.following
    for _ in range(min(n, len(return_TN)) - 1):
        later_TN = rows.discount_TN * torch.roll(return_TN, -1, dims=0)
        return_TN = rows.reward_TN + torch.where(ends_TN, rows.following, later_TN)
    return Advantages(return_TN - rows.value_TN, target_TN=return_TN, return_TN=return_TN)
