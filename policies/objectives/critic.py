"""What the critic minimises.

Sources: Schulman et al. 2017, "Proximal policy optimization algorithms", arXiv:1707.06347, equation 9; clipping:
Huang et al. 2022, "The 37 implementation details of proximal policy optimization", detail 9.
"""

import torch
from torch import Tensor

from policies.advantages import weighted_mean


def value_loss(*, value_B: Tensor, target_B: Tensor, counts_B: Tensor | None = None) -> Tensor:
    """Half the mean squared error of the critic, in the targets' units squared; arguments as below."""
    return 0.5 * _mean((value_B - target_B) ** 2, counts_B)


def clipped_value_loss(
    *, value_B: Tensor, old_value_B: Tensor, target_B: Tensor, clip: float, counts_B: Tensor | None = None
) -> Tensor:
    """Half the mean of the larger squared error: the critic's, or what it is within reach of the one before.

    Args:
        value_B: by the critic being learnt.
        old_value_B: by the critic before the update.
        target_B: what it should say.
        clip: reach, in the units of the values.
        counts_B: 1 where a value counts, else 0; all do where there is none.
    """
    near_B = old_value_B + (value_B - old_value_B).clamp(-clip, clip)
    return 0.5 * _mean(torch.maximum((value_B - target_B) ** 2, (near_B - target_B) ** 2), counts_B)


def _mean(error_B: Tensor, counts_B: Tensor | None) -> Tensor:
    return error_B.mean() if counts_B is None else weighted_mean(error_B, counts_B)
