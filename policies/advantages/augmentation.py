"""Value augmentation: beta H(s, a) is added to an action's value wherever the policy is weighed by it.

The fourth of the TAMER+RL methods: Q'(s, a) = Q(s, a) + beta H(s, a) takes the place of Q, here in the policy gradient.
Its direction is then that of Sutton et al. 2000, theorem 1, plus beta times the gradient of the expected H in the
states that are visited: people's reward is followed greedily, without discount, beside the return.

What a critic of states is fitted to stays as it is. Where Q' is on both sides of a temporal difference, the sum comes
to the same values as Q would and only begins elsewhere (Wiewiora 2003, "Potential-based shaping and Q-value
initialization are equivalent", for look-ahead advice, Wiewiora, Cottrell and Elkan 2003): a critic that learns the sum
has nothing to add. A learner of Q thereby learns beta H away; a policy that is weighed by the sum does not, so beta has
to fall. It is not reward shaping either, in which H is discounted and summed over what follows.

Sources: Knox and Stone 2010, "Combining manual feedback with subsequent MDP reward signals for reinforcement learning",
method 4; Knox and Stone 2012, "Reinforcement learning from simultaneous human and MDP reward" (Q augmentation).
"""

from torch import Tensor

from policies.advantages.rows import Advantages


def augmented(
    estimate: Advantages, *, reward_TNA: Tensor, log_prob_TNA: Tensor, action_TN: Tensor, weight: float
) -> Advantages:
    """Return estimates with beta H added: to an action's value H, and to its advantage what H is above its mean.

    The mean is the policy's, so that an augmented advantage is still one: its mean over the policy's actions is 0 where
    it was.

    Args:
        estimate: of each step; targets stay.
        reward_TNA: H of every action, here [T, N, A] with an entry an action.
        log_prob_TNA: of every action, under the policy.
        action_TN: that was taken, int64.
        weight: beta, in units of value per H.
    """
    taken_TN = reward_TNA.gather(-1, action_TN[..., None])[..., 0]
    expected_TN = (log_prob_TNA.exp() * reward_TNA).sum(-1)
    return estimate._replace(
        advantage_TN=estimate.advantage_TN + weight * (taken_TN - expected_TN),
        return_TN=estimate.return_TN + weight * taken_TN,
    )
