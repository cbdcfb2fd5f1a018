"""Trust region policy optimisation: one natural-gradient step of the policy, held inside a bound on the KL.

Source: Schulman et al. 2015, "Trust region policy optimization", arXiv:1502.05477, sections 4 to 6 and appendix C.
The critic learns apart, by its own gradient steps.
"""

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from policies.advantages import weighted_mean
from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives.natural_gradient import conjugate_gradient, flat_gradient, hessian_product
from policies.objectives.penalties import Penalties
from policies.objectives.ppo_kl import ratio_surrogate
from policies.settings import UpdateSettings


class Place(NamedTuple):
    """A policy as the search for a step sees it; scalars."""

    loss: Tensor
    """The surrogate with the penalties."""
    surrogate: Tensor
    """The ratio's, equation 14, negated."""
    divergence: Tensor
    """Mean KL(policy before || this one), in nats."""


class TRPO:
    """Moves the policy once an update, before the critic's epochs."""

    whole_batch: ClassVar[bool] = False
    subtracts_baseline: bool = True

    def __init__(self, settings: UpdateSettings, penalties: Penalties) -> None:
        self._settings, self._penalties = settings.trpo, penalties
        self._watched: dict[str, Tensor] = {}

    def begin(self, network: ActorCritic, batch: Batch) -> Batch:
        """Move the policy."""
        with torch.no_grad():
            batch = self._penalties.begin(batch)._replace(old_output_BA=batch.output_of(network))
            old_log_scale = network.log_scale.clone()
        parameters = network.policy_parameters()
        before = self._place(network, batch, old_log_scale)
        step = self._full_step(before, parameters)
        self._watched = self._search(network, batch, old_log_scale, step)
        return batch

    def _full_step(self, before: Place, parameters: list[nn.Parameter]) -> Tensor:
        """Return the natural gradient, as long as the quadratic model of the KL allows (appendix C)."""
        settings = self._settings
        gradient = flat_gradient(before.loss, parameters, retain=True)
        product = hessian_product(before.divergence, parameters, damping=settings.damping)
        direction = conjugate_gradient(product, -gradient, steps=settings.conjugate_gradient_steps)
        curvature = direction @ product(direction)
        if curvature <= 0:
            return torch.zeros_like(direction)
        return direction * (math.sqrt(2 * settings.kl_bound) / curvature.sqrt())

    @torch.no_grad()
    def _search(
        self, network: ActorCritic, batch: Batch, old_log_scale: Tensor, step: Tensor
    ) -> dict[str, Tensor]:
        """Halve the step until the loss is better and the KL within its bound; else stay."""
        parameters = network.policy_parameters()
        start = torch.cat([parameter.reshape(-1) for parameter in parameters])
        before = self._place(network, batch, old_log_scale)
        for halvings in range(self._settings.line_search_steps):
            share = 0.5**halvings
            _set(parameters, start + share * step)
            place = self._place(network, batch, old_log_scale)
            if place.loss < before.loss and place.divergence <= self._settings.kl_bound:
                return _watched(place, share)
        _set(parameters, start)
        return _watched(before, 0.0)

    def loss(self, network: ActorCritic, minibatch: Batch, output_BA: Tensor) -> None:
        """Leave gradient steps to the critic."""

    def finish(self, network: ActorCritic, batch: Batch) -> dict[str, Tensor]:
        """Return policy_loss and kl after the step, and step_share, how much of the full step was taken."""
        return self._penalties.finish(network, batch) | self._watched

    def get_state(self) -> dict[str, Any]:
        """Return the reference, where there is one."""
        return self._penalties.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._penalties.set_state(state)

    def _place(self, network: ActorCritic, batch: Batch, old_log_scale: Tensor) -> Place:
        assert batch.old_output_BA is not None
        output_BA, distribution = network.policy(batch.observation_BO), network.distribution
        divergence_B = distribution.divergence(
            batch.old_output_BA, old_log_scale, output_BA, network.log_scale
        )
        surrogate = ratio_surrogate(
            log_prob_B=distribution.log_prob(output_BA, network.log_scale, batch.action_BA),
            behaviour_log_prob_B=batch.behaviour_log_prob_B,
            advantage_B=batch.advantage_B,
            weight_B=batch.weight_B,
        )
        loss = self._penalties.added_to(surrogate, network, output_BA, batch)
        return Place(loss, surrogate, weighted_mean(divergence_B, batch.weight_B))


def _set(parameters: list[nn.Parameter], vector: Tensor) -> None:
    first = 0
    for parameter in parameters:
        parameter.copy_(vector[first : first + parameter.numel()].view_as(parameter))
        first += parameter.numel()


def _watched(place: Place, share: float) -> dict[str, Tensor]:
    share_taken = place.loss.new_tensor(share)
    return {"policy_loss": place.surrogate, "kl": place.divergence, "step_share": share_taken}
