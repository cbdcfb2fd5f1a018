"""V-trace: n-step returns of the policy being learnt, from steps of an older one.

Source: Espeholt et al. 2018, "IMPALA: scalable distributed deep-RL with importance weighted actor-learner
architectures", arXiv:1802.01561, section 4.1, equation 1 and remark 2.
"""

import torch
from torch import Tensor

from policies.advantages.rows import Advantages, Rows, summed_backwards


def vtrace(
    rows: Rows, *, log_ratio_TN: Tensor, trace_lambda: float, rho_bar: float, c_bar: float
) -> Advantages:
    """Estimate advantages off-policy.

    The advantage is r + gamma v(next) - V without rho: an objective on probability ratios brings its own, one on
    log-probabilities multiplies by the truncated ratio (`policies.objectives.policy_gradient`).

    Args:
        rows: rewards, values and edges.
        log_ratio_TN: log-probability of each action under the policy being learnt, less that under the one that
            acted.
        trace_lambda: lambda of remark 2, in [0, 1].
        rho_bar: truncates the weight of each temporal difference; which policy the target is the value of.
        c_bar: truncates the traces, at most rho_bar; how fast it is reached.
    """
    ratio_TN = log_ratio_TN.exp()
    delta_TN = ratio_TN.clamp(max=rho_bar) * (rows.reward_TN + rows.following - rows.value_TN)
    carry_TN = rows.carry * trace_lambda * ratio_TN.clamp(max=c_bar)
    correction_TN = summed_backwards(delta_TN, carry_TN)
    # What the targets of the next row add to the critic's word about it; an edge has only the critic's.
    later_TN = torch.cat([correction_TN[1:], torch.zeros_like(correction_TN[:1])])
    return_TN = rows.reward_TN + rows.following + rows.carry * later_TN
    return Advantages(return_TN - rows.value_TN, target_TN=correction_TN + rows.value_TN, return_TN=return_TN)
