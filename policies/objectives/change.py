"""How far an update has moved the policy, for people to watch."""

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
