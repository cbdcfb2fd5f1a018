"""How likely answers to "which is better?" are, given the reward.

Axis suffixes: K member of the ensemble, P pair.
"""

import math

import torch
from torch import Tensor


def comparison_log_likelihood(
    *, margin_KP: Tensor, choice_P: Tensor, log_tie: Tensor | float, lapse: float
) -> Tensor:
    """Log-probability of each answer to "which is better?": Bradley-Terry with ties and lapses.

    With probability `lapse` the answer is one of the three at random. Otherwise, with m the margin,
    P(first), P(second) and P(tie) are in proportion to exp(m / 2), exp(-m / 2) and the tie propensity, so that
    without ties P(first) is the logistic function of m.

    Sources: Christiano et al. 2017, arXiv:1706.03741, section 2.2.3 (summed rewards, lapse); Davidson 1970,
    "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments", equation 2.4.

    Args:
        margin_KP: predicted return of the first segment minus that of the second, in link units.
        choice_P: int64, 0 first, 1 second, 2 tie.
        log_tie: logarithm of the tie propensity; -inf for a teacher who never ties.
        lapse: in [0, 1).

    Returns:
        [K, P], in nats. log(1/3) is a blind guess.
    """
    tie_KP = torch.as_tensor(log_tie, dtype=margin_KP.dtype, device=margin_KP.device).expand_as(margin_KP)
    logits = torch.stack([margin_KP / 2, -margin_KP / 2, tie_KP], -1)
    log_share = torch.log_softmax(logits, -1)
    index = choice_P.expand(margin_KP.shape)[..., None]
    chosen_KP = log_share.gather(-1, index)[..., 0]
    if lapse == 0:
        return chosen_KP
    guess = torch.full_like(chosen_KP, math.log(lapse / 3))
    return torch.logaddexp(chosen_KP + math.log1p(-lapse), guess)
