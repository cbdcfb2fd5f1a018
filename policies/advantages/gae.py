"""Generalised advantage estimation: all n-step advantages at once, weighted by powers of lambda.

Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation",
arXiv:1506.02438, equation 16.
"""

from policies.advantages.rows import Advantages, Rows, summed_backwards


def gae(rows: Rows, *, gae_lambda: float) -> Advantages:
    """Estimate advantages.

    Args:
        rows: rewards, values and edges.
        gae_lambda: lambda, in [0, 1]: 0 trusts the critic, 1 the rewards.
    """
    delta_TN = rows.reward_TN + rows.following - rows.value_TN
    advantage_TN = summed_backwards(delta_TN, rows.carry * gae_lambda)
    return_TN = advantage_TN + rows.value_TN
    return Advantages(advantage_TN, target_TN=return_TN, return_TN=return_TN)
