"""How likely an order of several segments is, given their returns.

Axis suffixes: K member of the ensemble, B ranking, C place in the question, M set of segments that may be tied.
"""

import functools
import math

import torch
from torch import Tensor


def ranking_log_likelihood(
    *, return_KBC: Tensor, rank_BC: Tensor, log_tie: Tensor | float, lapse: float
) -> Tensor:
    """Log-probability of each ranking: Plackett-Luce with ties and lapses.

    The best of those that are left is chosen, again and again. A set of d segments is chosen, as tied, in proportion
    to tie^(d - 1) * exp(mean of their returns); so two segments are compared as in `comparison_log_likelihood`. With
    probability `lapse` the order is any at random.

    Sources: Plackett 1975, "The analysis of permutations", section 2; ties: Turner, van Etten, Firth and Kosmidis 2020,
    "Modelling rankings in R: the PlackettLuce package", equation 3, with tie propensities that are powers of one.

    Args:
        return_KBC: predicted return of each segment, in link units.
        rank_BC: int64, the place of each, 1 is the best, without gaps, equal numbers are ties; 0: there is none.
        log_tie: logarithm of the tie propensity.
        lapse: in [0, 1).

    Returns:
        [K, B], in nats.
    """
    most = rank_BC.shape[-1]
    member_MC = _subsets(most).to(return_KBC.device)
    size_M = member_MC.sum(-1)
    tie = torch.as_tensor(log_tie, dtype=return_KBC.dtype, device=return_KBC.device)
    share_MC = member_MC.to(return_KBC.dtype) / size_M[:, None]
    weight_KBM = return_KBC @ share_MC.T
    # A tie of one is none, also where nobody ever ties.
    weight_KBM = weight_KBM + torch.where(size_M > 1, (size_M - 1) * tie, torch.zeros_like(tie))
    log_share_KB = torch.zeros_like(return_KBC[..., 0])
    for stage in range(1, most + 1):
        chosen_BM = (member_MC == (rank_BC[:, None] == stage)).all(-1)
        is_over_B = ~chosen_BM.any(-1)
        left_BM = ~(member_MC & (rank_BC[:, None] < stage)).any(-1) | is_over_B[:, None]
        among_KB = weight_KBM.masked_fill(~left_BM, -torch.inf).logsumexp(-1)
        won_KB = weight_KBM.masked_fill(~chosen_BM, 0.0).sum(-1)
        log_share_KB = log_share_KB + (won_KB - among_KB).masked_fill(is_over_B, 0.0)
    if lapse == 0:
        return log_share_KB
    orders = torch.tensor([float(weak_orders(n)) for n in range(most + 1)], device=rank_BC.device)
    guess_B = math.log(lapse) - orders.to(return_KBC.dtype)[(rank_BC > 0).sum(-1)].log()
    return torch.logaddexp(log_share_KB + math.log1p(-lapse), guess_B)


def weak_orders(segments: int) -> int:
    """Return how many rankings of so many segments there are, ties allowed: the Fubini numbers."""
    return sum(math.comb(segments, d) * weak_orders(segments - d) for d in range(1, segments + 1)) or 1


@functools.cache
def _subsets(count: int) -> Tensor:
    """Return all sets of so many that are not empty, bool[M, C]."""
    numbers_M = torch.arange(1, 2**count)
    return (numbers_M[:, None] >> torch.arange(count)) % 2 == 1
