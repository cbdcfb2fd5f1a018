"""How likely ratings are, given the returns of what is rated.

Axis suffixes: K member of the ensemble, B rating.
"""

import math

import torch
from torch import Tensor

_NARROWEST = 1e-6
_FAR = 1e6


def rating_log_likelihood(
    *,
    latent_KB: Tensor,
    lower_B: Tensor,
    upper_B: Tensor,
    scale: Tensor | float,
    points: Tensor | float,
    lapse: float,
) -> Tensor:
    """Log-probability of each rating: an ordinal logistic model with the teacher's own cut points.

    A teacher gives the rating between whose cut points the latent, with logistic noise, comes to lie. With
    probability `lapse` the rating is any at random.

    Source: McCullagh 1980, "Regression models for ordinal data", section 2 (proportional odds).

    Args:
        latent_KB: of each segment, in link units.
        lower_B: the cut point below the rating; -inf for the lowest.
        upper_B: the one above it; inf for the highest.
        scale: rationality, [B] or one: the larger, the less noise.
        points: ratings there are, [B] or one.
        lapse: in [0, 1).

    Returns:
        [K, B], in nats.
    """
    scale = torch.as_tensor(scale, dtype=latent_KB.dtype, device=latent_KB.device)
    # Infinity has no gradient.
    lower_B, upper_B = lower_B.clamp_min(-_FAR), upper_B.clamp_max(_FAR)
    above_KB, below_KB = scale * (latent_KB - lower_B), scale * (upper_B - latent_KB)
    width_B = (scale * (upper_B - lower_B)).clamp_min(_NARROWEST)
    # log(sigmoid(a) - sigmoid(-b)) with a + b the width, and without the difference of two numbers that are alike.
    log_share_KB = (
        torch.nn.functional.logsigmoid(above_KB)
        + torch.nn.functional.logsigmoid(below_KB)
        + torch.log(-torch.expm1(-width_B))
    )
    if lapse == 0:
        return log_share_KB
    guess = torch.as_tensor(lapse / points, dtype=latent_KB.dtype, device=latent_KB.device).log()
    return torch.logaddexp(log_share_KB + math.log1p(-lapse), guess)
