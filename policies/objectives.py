"""What the policy maximises and the critic minimises, as losses.

Source: Schulman et al. 2017, "Proximal policy optimization algorithms", arXiv:1707.06347, equations 7 and 9.
Axis suffix: B step of a minibatch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from policies.advantages import weighted_mean


class PolicyChange(NamedTuple):
    """How far the policy has moved from the one that acted; scalars."""

    approximate_kl: Tensor
    """Estimate of KL(behaviour || policy) in nats, never negative (Schulman 2020, "k3")."""
    clip_share: Tensor
    """Share of steps whose ratio left [1 - clip, 1 + clip]."""


def ppo_clip(
    *, log_prob_B: Tensor, behaviour_log_prob_B: Tensor, advantage_B: Tensor, weight_B: Tensor, clip: float
) -> Tensor:
    """The clipped surrogate, equation 7, negated, averaged over steps that count; a scalar.

    Args:
        log_prob_B: under the policy being learnt.
        behaviour_log_prob_B: under the policy that acted.
        advantage_B: standardised advantages.
        weight_B: 1 where the policy acted, 0 where nobody or someone else did.
        clip: epsilon.
    """
    ratio_B = (log_prob_B - behaviour_log_prob_B).exp()
    clipped_B = ratio_B.clamp(1 - clip, 1 + clip)
    surrogate_B = torch.minimum(ratio_B * advantage_B, clipped_B * advantage_B)
    return -weighted_mean(surrogate_B, weight_B)


@torch.no_grad()
def policy_change(
    *, log_prob_B: Tensor, behaviour_log_prob_B: Tensor, weight_B: Tensor, clip: float
) -> PolicyChange:
    """Measure how far the policy has moved; the arguments are those of `ppo_clip`."""
    log_ratio_B = log_prob_B - behaviour_log_prob_B
    ratio_B = log_ratio_B.exp()
    outside_B = ((ratio_B - 1).abs() > clip).to(weight_B.dtype)
    return PolicyChange(
        weighted_mean(ratio_B - 1 - log_ratio_B, weight_B), weighted_mean(outside_B, weight_B)
    )


def value_loss(*, value_B: Tensor, target_B: Tensor) -> Tensor:
    """Half the mean squared error of the critic, in the targets' units squared."""
    return 0.5 * ((value_B - target_B) ** 2).mean()
