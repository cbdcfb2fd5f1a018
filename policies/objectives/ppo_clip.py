"""PPO with a clipped surrogate.

Source: Schulman et al. 2017, "Proximal policy optimization algorithms", arXiv:1707.06347, section 3, equation 7.
"""

import torch
from torch import Tensor

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.objectives.first_order import FirstOrder, PolicyOnBatch


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
    # The minimum in equation 7, written as the one bound that the advantage's sign leaves: half as many kernels.
    bad_B, scalar = advantage_B < 0, ratio_B.new_tensor
    lowest_B = torch.where(bad_B, scalar(1 - clip), scalar(0.0))
    highest_B = torch.where(bad_B, scalar(torch.inf), scalar(1 + clip))
    return -weighted_mean(ratio_B.clamp(lowest_B, highest_B) * advantage_B, weight_B)


class PPOClip(FirstOrder):
    """PPO with a clipped surrogate."""

    def surrogate(self, policy: PolicyOnBatch, minibatch: Batch) -> Tensor:
        """Return the clipped surrogate."""
        return ppo_clip(
            log_prob_B=policy.log_prob_B,
            behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
            advantage_B=minibatch.advantage_B,
            weight_B=minibatch.weight_B,
            clip=self._settings.clip,
        )
