"""What the policy maximises and the critic minimises, as losses.

Source: Schulman et al. 2017, "Proximal policy optimization algorithms", arXiv:1707.06347, equations 7 and 9.
Axis suffix: B step of a minibatch.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class PolicyLoss(NamedTuple):
    """A policy loss with what people watch; scalars."""

    loss: Tensor
    approximate_kl: Tensor
    """Estimate of KL(behaviour || policy) in nats, never negative (Schulman 2020, "k3")."""
    clip_share: Tensor
    """Share of steps whose ratio left [1 - clip, 1 + clip]."""


def ppo_clip(
    *, log_prob_B: Tensor, behaviour_log_prob_B: Tensor, advantage_B: Tensor, weight_B: Tensor, clip: float
) -> PolicyLoss:
    """The clipped surrogate, equation 7, negated, averaged over steps that count.

    Args:
        log_prob_B: under the policy being learnt.
        behaviour_log_prob_B: under the policy that acted.
        advantage_B: standardised advantages.
        weight_B: 1 where the policy acted, 0 where nobody or someone else did.
        clip: epsilon.
    """
    total = weight_B.sum().clamp_min(1.0)
    log_ratio_B = log_prob_B - behaviour_log_prob_B
    ratio_B = log_ratio_B.exp()
    clipped_B = ratio_B.clamp(1 - clip, 1 + clip)
    surrogate_B = torch.minimum(ratio_B * advantage_B, clipped_B * advantage_B)
    with torch.no_grad():
        kl = ((ratio_B - 1 - log_ratio_B) * weight_B).sum() / total
        share = (((ratio_B - 1).abs() > clip).to(weight_B.dtype) * weight_B).sum() / total
    return PolicyLoss(-(surrogate_B * weight_B).sum() / total, kl, share)


def value_loss(*, value_B: Tensor, target_B: Tensor) -> Tensor:
    """Half the mean squared error of the critic, in the targets' units squared."""
    return 0.5 * ((value_B - target_B) ** 2).mean()
