"""The losses of the readings, as pure functions, and as a module of a policy network.

The policy gradient is that of COACH (MacGlashan et al. 2017, arXiv:1701.06049, Algorithm 1) and, with returns less a
baseline, of REINFORCE (Williams 1992); the entropy bonus is that of Deep COACH (Arumugam et al. 2019, arXiv:1902.04257,
section 4). Regret is the model of Knox et al. 2022, arXiv:2206.02231, section 3, with the best policy's advantage as
alpha times its log-probability as in Hejna et al. 2024, arXiv:2310.13639, section 3.1.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from policies.advantages import weighted_mean
from policies.distributions import ActionDistribution
from policies.networks import ActorCritic
from policies.signals.settings import SignalSettings


def signal_policy_gradient(
    *,
    log_prob_SL: Tensor,
    first_log_prob_SL: Tensor,
    credit_SL: Tensor,
    value_S: Tensor,
    weight_S: Tensor,
    clip: float,
) -> Tensor:
    """Minus the mean over signals of value times credited log-probability, a scalar; 0 where none counts.

    Its gradient is the policy gradient if values are advantages of what was done, or returns less a baseline. A signal
    is looked at many times, and a minus would push a probability down without end: steps whose probability has moved by
    the factor 1 + clip, or 1 - clip, since their signal was first learnt from, where it pushes them, have no gradient
    any more, as in PPO (Schulman et al. 2017, arXiv:1707.06347, section 3).

    Args:
        log_prob_SL: of the actions under the policy being learnt.
        first_log_prob_SL: the same when the signal was first learnt from; NaN where that is now.
        credit_SL: what each step counts, as `policies.signals.readings.counted_credit` returns it.
        value_S: as `policies.signals.readings.told_value` returns it.
        weight_S: 1, or 0 for rows that only fill a minibatch up.
        clip: epsilon, in (0, 1).
    """
    moved_SL = (log_prob_SL - first_log_prob_SL).detach()
    praised_SL = (value_S > 0)[:, None].expand_as(moved_SL)
    done_SL = torch.where(praised_SL, moved_SL > math.log1p(clip), moved_SL < math.log1p(-clip))
    counted_SL = credit_SL * (~done_SL).to(credit_SL.dtype)
    return -weighted_mean(value_S * (counted_SL * log_prob_SL).sum(-1), weight_S)


def regret_loss(
    *, log_prob_SL: Tensor, credit_SL: Tensor, value_S: Tensor, weight_S: Tensor, temperature: float
) -> Tensor:
    """Half the variance of what the policy's regret leaves unexplained of the signals, a scalar; 0 for one signal.

    A signal is normal around temperature times the credited log-probability plus an offset. For any noise the policy
    of the greatest likelihood is that of the smallest sum of squares, and the offset that goes with a policy is the
    mean of what is left: so neither has to be learnt. Divided by one less than their count, minibatches give the
    gradient of all signals in expectation.

    Args:
        log_prob_SL: of the actions under the policy being learnt.
        credit_SL: what each step counts.
        value_S: the signals, in any unit.
        weight_S: 1, or 0 for rows that only fill a minibatch up.
        temperature: alpha, in that unit per nat.
    """
    left_S = value_S - temperature * (credit_SL * log_prob_SL).sum(-1)
    left_S = left_S - weighted_mean(left_S, weight_S)
    return 0.5 * (left_S.square() * weight_S).sum() / (weight_S.sum() - 1.0).clamp_min(1.0)


class SignalMinibatch(NamedTuple):
    """Signals as a gradient step reads them; credit and values are what the reading makes of them."""

    observation_SLO: Tensor
    action_SLA: Tensor
    credit_SL: Tensor
    value_S: Tensor
    weight_S: Tensor
    """1, or 0 for rows that only fill up."""
    first_log_prob_SL: Tensor
    """Of the actions, when their signal was first learnt from; NaN where that is now."""


class Look(NamedTuple):
    """A policy on the steps of signals."""

    log_prob_SL: Tensor
    entropy_SL: Tensor


def look_at(
    policy: nn.Module,
    distribution: ActionDistribution,
    log_scale: Tensor,
    observation_SLO: Tensor,
    action_SLA: Tensor,
) -> Look:
    """Return the log-probability of what was done in each step, and the policy's entropy, in nats."""
    steps = observation_SLO.shape[:2]
    output_PA = policy(observation_SLO.flatten(0, 1))
    log_prob_P = distribution.log_prob(output_PA, log_scale, action_SLA.flatten(0, 1))
    return Look(log_prob_P.view(steps), distribution.entropy(output_PA, log_scale).view(steps))


def reading_loss(settings: SignalSettings, log_prob_SL: Tensor, signals: SignalMinibatch) -> Tensor:
    """Return the loss of the settings' reading, without the entropy bonus, a scalar."""
    parts = {
        "log_prob_SL": log_prob_SL,
        "credit_SL": signals.credit_SL,
        "value_S": signals.value_S,
        "weight_S": signals.weight_S,
    }
    if settings.reading == "regret":
        return regret_loss(**parts, temperature=settings.temperature)
    return signal_policy_gradient(**parts, first_log_prob_SL=signals.first_log_prob_SL, clip=settings.clip)


class SignalLoss(nn.Module):
    """The loss of a policy network on minibatches of signals, for `policies.descent.gradient_step.GradientStep`.

    Its parameters are the policy's: no critic is in it, so that none learns.
    """

    def __init__(self, network: ActorCritic, settings: SignalSettings) -> None:
        """Make it of a network without memory.

        Raises:
            ValueError: the network is recurrent.
        """
        super().__init__()
        if network.memory is not None:
            raise ValueError(
                "signals are on a few steps, so a recurrent policy cannot learn from them; set no recurrent units"
            )
        self.policy, self.log_scale = network.policy, network.log_scale
        self._distribution, self._settings = network.distribution, settings

    def look(self, observation_SLO: Tensor, action_SLA: Tensor) -> Look:
        """See `look_at`."""
        return look_at(self.policy, self._distribution, self.log_scale, observation_SLO, action_SLA)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is minimised, the reading's loss, and the policy's entropy in nats where signals are given.

        The inputs are the parts of a `SignalMinibatch`.
        """
        signals = SignalMinibatch(*inputs)
        look = self.look(signals.observation_SLO, signals.action_SLA)
        loss = reading_loss(self._settings, look.log_prob_SL, signals)
        entropy = weighted_mean(look.entropy_SL, signals.credit_SL * signals.weight_S[:, None])
        return loss - self._settings.entropy_coefficient * entropy, loss, entropy
