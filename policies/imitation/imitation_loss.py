"""How far a policy is from an expert's actions.

Likelihood is the default: minus the log-likelihood of the actions under the policy, the surrogate loss of behaviour
cloning (Pomerleau 1989, "ALVINN"; for DAgger: Ross, Gordon and Bagnell 2011, arXiv:1011.0686, section 2). Of Box
actions that is a Gaussian around the network's output, whose log standard deviation does not depend on the state and
is fitted along: the more exactly the expert is met, the narrower the policy gets, without an end where the expert is
deterministic. Where reinforcement learning goes on from the fitted policy and needs it to explore, squared error leaves
the standard deviation as it is.
"""

from typing import assert_never

import torch
from torch import Tensor, nn

from policies.advantages import weighted_mean
from policies.distributions import ActionDistribution
from policies.imitation.settings import LossName
from policies.networks import ActorCritic


def imitation_error(
    distribution: ActionDistribution,
    *,
    output_BA: Tensor,
    log_scale: Tensor,
    action_BA: Tensor,
    loss: LossName = "likelihood",
) -> Tensor:
    """Return each label's part of the loss, [B].

    Args:
        distribution: of the policy.
        output_BA: what its network puts out.
        log_scale: its log standard deviation, [A] for Box, else empty.
        action_BA: the expert's.
        loss: likelihood gives nats; squared_error the mean over an action's axes, in its units squared.
    """
    match loss:
        case "likelihood":
            return -distribution.log_prob(output_BA, log_scale, action_BA)
        case "squared_error":
            return ((distribution.mode(output_BA) - action_BA) ** 2).mean(-1)
        case _:
            assert_never(loss)


def imitation_loss(
    distribution: ActionDistribution,
    *,
    output_BA: Tensor,
    log_scale: Tensor,
    action_BA: Tensor,
    weight_B: Tensor,
    loss: LossName = "likelihood",
) -> Tensor:
    """Return the weighted mean of `imitation_error`, a scalar; 0 where no label counts.

    Args:
        distribution: of the policy.
        output_BA: what its network puts out.
        log_scale: its log standard deviation, [A] for Box, else empty.
        action_BA: the expert's.
        weight_B: how much each label counts, from 0; weights that add up to less than 1 count as if they did to 1.
        loss: as in `imitation_error`.
    """
    error_B = imitation_error(
        distribution, output_BA=output_BA, log_scale=log_scale, action_BA=action_BA, loss=loss
    )
    return weighted_mean(error_B, weight_B)


class ImitationLoss(nn.Module):
    """The loss of a policy network on minibatches of labels, for `policies.descent.gradient_step.GradientStep`.

    Its parameters are the policy's: no critic is in it, so that none learns.
    """

    def __init__(self, network: ActorCritic, loss: LossName = "likelihood") -> None:
        """Make it of a network without memory.

        Raises:
            ValueError: the network is recurrent, or squared error is asked for of actions that are choices.
        """
        super().__init__()
        if network.memory is not None:
            raise ValueError(
                "labels have no history, so a recurrent policy cannot learn them; set no recurrent units"
            )
        if loss == "squared_error" and not network.distribution.learns_scale:
            raise ValueError(
                "squared_error is for Box actions; choose likelihood for Discrete and MultiDiscrete"
            )
        self.policy, self.log_scale = network.policy, network.log_scale
        self._distribution, self._loss = network.distribution, loss

    def error(self, observation_BO: Tensor, action_BA: Tensor) -> Tensor:
        """Return each label's part of the loss, [B]."""
        output_BA = self.policy(observation_BO)
        return imitation_error(
            self._distribution,
            output_BA=output_BA,
            log_scale=self.log_scale,
            action_BA=action_BA,
            loss=self._loss,
        )

    def forward(self, observation_BO: Tensor, action_BA: Tensor, weight_B: Tensor) -> tuple[Tensor]:
        """Return the loss, a scalar."""
        loss = imitation_loss(
            self._distribution,
            output_BA=self.policy(observation_BO),
            log_scale=self.log_scale,
            action_BA=action_BA,
            weight_B=weight_B,
            loss=self._loss,
        )
        return (loss,)

    @torch.no_grad()
    def mode(self, observation_BO: Tensor) -> Tensor:
        """Return the policy's most probable actions."""
        return self._distribution.mode(self.policy(observation_BO))
