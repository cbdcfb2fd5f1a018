"""The plain policy gradient: REINFORCE, Q actor-critic and advantage actor-critic differ in what they weigh by.

Sources: Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning"; Sutton et al. 2000, "Policy gradient methods for reinforcement learning with function approximation",
theorem 1; Mnih et al. 2016, arXiv:1602.01783; the truncated importance weight is that of Espeholt et al. 2018,
arXiv:1802.01561, section 4.2.
"""

from typing import ClassVar

from torch import Tensor

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.objectives.first_order import FirstOrder, PolicyOnBatch
from policies.objectives.penalties import Penalties
from policies.settings import UpdateSettings


def policy_gradient(
    *,
    log_prob_B: Tensor,
    behaviour_log_prob_B: Tensor,
    advantage_B: Tensor,
    weight_B: Tensor,
    rho_bar: float | None = None,
) -> Tensor:
    """The log-probability weighted by what came of the action, negated, averaged over steps that count; a scalar.

    Args:
        log_prob_B: under the policy being learnt.
        behaviour_log_prob_B: under the policy that acted; read only with rho_bar.
        advantage_B: what came of each action, with or without a baseline.
        weight_B: 1 where the policy acted, 0 where nobody or someone else did.
        rho_bar: corrects for an older policy having acted, by probability ratios of at most this; None: as if the
            policy being learnt had acted.
    """
    weighing_B = advantage_B
    if rho_bar is not None:
        weighing_B = (log_prob_B.detach() - behaviour_log_prob_B).exp().clamp(max=rho_bar) * advantage_B
    return -weighted_mean(log_prob_B * weighing_B, weight_B)


class AdvantageActorCritic(FirstOrder):
    """A2C: weighs actions by advantages."""

    whole_batch: ClassVar[bool] = True

    def surrogate(self, policy: PolicyOnBatch, minibatch: Batch) -> Tensor:
        """Return the weighted log-probability as a loss."""
        vtrace = self._settings.vtrace.rho_bar if self._settings.estimator == "vtrace" else None
        return policy_gradient(
            log_prob_B=policy.log_prob_B,
            behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
            advantage_B=minibatch.advantage_B,
            weight_B=minibatch.weight_B,
            rho_bar=vtrace,
        )


class QActorCritic(AdvantageActorCritic):
    """Weighs actions by estimates of Q: rewards and then the critic, without a baseline."""

    subtracts_baseline = False


class Reinforce(AdvantageActorCritic):
    """Weighs actions by Monte-Carlo returns, with the critic as the baseline or with none."""

    def __init__(self, settings: UpdateSettings, penalties: Penalties) -> None:
        super().__init__(settings, penalties)
        self.subtracts_baseline = settings.baseline
