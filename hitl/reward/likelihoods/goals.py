"""How likely it is that people call a state what they want, given its reward.

Axis suffixes: K member of the ensemble, B state.
"""

import math

import torch
from torch import Tensor


def goal_log_likelihood(
    *, reward_KB: Tensor, reached_B: Tensor, scale: Tensor | float, offset: Tensor | float, lapse: float
) -> Tensor:
    """Log-probability of each "this is what I want", or not: a logistic classifier of success.

    The log-odds are scale * reward + offset; with probability `lapse` the answer is either at random.

    Sources: Fu, Singh, Ghosh, Yang and Levine 2018, "Variational inverse control with events", arXiv:1805.11686,
    section 4; Singh, Yang, Hartikainen, Finn and Levine 2019, "End-to-end robotic reinforcement learning without reward
    engineering", arXiv:1904.07854, section 4 (asking people whether a state is a success).

    Args:
        reward_KB: of each state (or step), in link units.
        reached_B: int64, 1 what people want, 0 not.
        scale: rationality, above 0, [B] or one.
        offset: log-odds of a reward of 0.
        lapse: in [0, 1).

    Returns:
        [K, B], in nats. log(1/2) is a blind guess.
    """
    logit_KB = scale * reward_KB + offset
    log_share_KB = torch.nn.functional.logsigmoid(torch.where(reached_B == 1, logit_KB, -logit_KB))
    if lapse == 0:
        return log_share_KB
    guess = torch.full_like(log_share_KB, math.log(lapse / 2))
    return torch.logaddexp(log_share_KB + math.log1p(-lapse), guess)
