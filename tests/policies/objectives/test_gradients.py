"""What each first-order objective minimises, and its gradient, against its paper in plain loops."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives import OBJECTIVES, make_objective
from policies.settings import AdaptiveKLSettings, ObjectiveName, VTraceSettings
from tests.policies.objectives.small_policies import (
    SPACES,
    B,
    batch_of,
    divergence,
    entropy,
    in_single_precision,
    log_prob,
    policy,
    settings,
)

BETA, RHO_BAR, CLIP = 0.7, 1.1, 0.2
Slow = Callable[[Tensor, float, float, Tensor], Tensor]
"""Of one step: its log-probability, the behaviour's, its advantage, and KL(before || now)."""


def _weighted_log_prob(now: Tensor, behaviour: float, advantage: float, moved: Tensor) -> Tensor:
    """Williams 1992; Sutton et al. 2000, theorem 1."""
    return now * advantage


def _corrected_log_prob(now: Tensor, behaviour: float, advantage: float, moved: Tensor) -> Tensor:
    """Espeholt et al. 2018, section 4.2: rho is no part of the gradient."""
    return min(RHO_BAR, (now - behaviour).exp().item()) * now * advantage


def _clipped(now: Tensor, behaviour: float, advantage: float, moved: Tensor) -> Tensor:
    """Schulman et al. 2017, equation 7."""
    ratio = (now - behaviour).exp()
    near = 1 - CLIP if ratio < 1 - CLIP else 1 + CLIP if ratio > 1 + CLIP else ratio
    return ratio * advantage if ratio * advantage < near * advantage else near * advantage + 0 * ratio


def _penalised(now: Tensor, behaviour: float, advantage: float, moved: Tensor) -> Tensor:
    """Schulman et al. 2017, equation 8."""
    return (now - behaviour).exp() * advantage - BETA * moved


CASES: list[tuple[ObjectiveName, Slow, dict[str, Any]]] = [
    ("reinforce", _weighted_log_prob, {}),
    ("q_actor_critic", _weighted_log_prob, {}),
    ("a2c", _weighted_log_prob, {}),
    ("a2c", _corrected_log_prob, {"advantages": "vtrace"}),
    ("ppo_clip", _clipped, {}),
    ("ppo_kl", _penalised, {}),
]
each_objective = pytest.mark.parametrize(
    ("name", "slow", "changes"), CASES, ids=[f"{name} {changes}" for name, _, changes in CASES]
)
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
each_penalty = pytest.mark.parametrize(
    ("bonus", "leash"), [(0.0, 0.0), (0.3, 0.4)], ids=["bare", "penalised"]
)


def _made(name: ObjectiveName, reference: ActorCritic, bonus: float, leash: float, changes: Any) -> Any:
    return make_objective(
        settings(
            objective=name,
            entropy_coefficient=bonus,
            reference_coefficient=leash,
            ppo_kl=AdaptiveKLSettings(coefficient=BETA),
            vtrace=VTraceSettings(rho_bar=RHO_BAR),
            **changes,
        ),
        reference,
    )


def _moved(network: ActorCritic) -> ActorCritic:
    """The network some gradient steps later."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(7)
        for parameter in network.policy_parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def _gradient(loss: Tensor, network: ActorCritic) -> Tensor:
    parameters = network.policy_parameters()
    parts = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def _by_the_paper(
    space: gym.Space[Any],
    slow: Slow,
    now: ActorCritic,
    before: ActorCritic,
    reference: ActorCritic,
    batch: Batch,
    bonus: float,
    leash: float,
) -> Tensor:
    total, counted = torch.zeros((), dtype=torch.float64), 0
    for b in range(B):
        if not batch.weight_B[b]:
            continue
        counted += 1
        observation = batch.observation_BO[b]
        output = now.policy(observation)
        old, frozen = before.policy(observation).detach(), reference.policy(observation).detach()
        step = slow(
            log_prob(space, output, now.log_scale, batch.action_BA[b]),
            batch.behaviour_log_prob_B[b].item(),
            batch.advantage_B[b].item(),
            divergence(space, old, before.log_scale.detach(), output, now.log_scale),
        )
        leaves = divergence(space, output, now.log_scale, frozen, reference.log_scale.detach())
        total = total - step - bonus * entropy(space, output, now.log_scale) + leash * leaves
    assert 0 < counted < B
    return total / counted


@each_penalty
@each_space
@each_objective
def test_the_loss_and_its_gradient_are_those_of_the_paper(
    name: ObjectiveName, slow: Slow, changes: Any, space: gym.Space[Any], bonus: float, leash: float
) -> None:
    before, reference = policy(space), policy(space, seed=5)
    batch, now = batch_of(before, space), _moved(copy.deepcopy(before))
    expected = _by_the_paper(space, slow, now, before, reference, batch, bonus, leash)
    gradient = _gradient(expected, now)
    assert gradient.abs().max() > 1e-2
    for exact, tolerance in ((True, 1e-9), (False, 1e-4)):
        networks = [copy.deepcopy(network) for network in (before, now, reference)]
        old, new, frozen = networks if exact else [network.float() for network in networks]
        own = batch if exact else in_single_precision(batch)
        objective = _made(name, frozen, bonus, leash, changes)
        loss = objective.loss(new, objective.begin(old, own), new.policy(own.observation_BO)).total
        assert loss.item() == pytest.approx(expected.item(), abs=tolerance)
        found = _gradient(loss, new).double()
        torch.testing.assert_close(found, gradient, rtol=0, atol=tolerance)


def test_the_ratios_are_on_both_sides_of_every_bound() -> None:
    """Otherwise the cases above would not see a bound removed."""
    for space in SPACES.values():
        before = policy(space)
        batch, now = batch_of(before, space), _moved(copy.deepcopy(before))
        ratio = (now.evaluate(batch.observation_BO, batch.action_BA)[0] - batch.behaviour_log_prob_B).exp()
        counted, up = ratio[batch.weight_B > 0], batch.advantage_B[batch.weight_B > 0] > 0
        assert ((counted > 1 + CLIP) & up).any()
        assert ((counted < 1 - CLIP) & ~up).any()
        assert ((counted > 1 + CLIP) & ~up).any() or ((counted < 1 - CLIP) & up).any()
        assert (counted > RHO_BAR).any()


def test_all_first_order_objectives_are_here() -> None:
    assert {name for name, _, _ in CASES} | {"trpo"} == set(OBJECTIVES)


@pytest.mark.parametrize("name", ["a2c", "trpo"])
@each_space
def test_the_way_to_the_reference_is_told(space: gym.Space[Any], name: ObjectiveName) -> None:
    network, reference = policy(space), policy(space, seed=5)
    objective = _made(name, reference, 0.0, 0.4, {})
    batch = objective.begin(network, batch_of(network, space))
    mean = sum(
        divergence(
            space,
            network.policy(batch.observation_BO[b]),
            network.log_scale,
            reference.policy(batch.observation_BO[b]),
            reference.log_scale,
        ).item()
        for b in range(B)
        if batch.weight_B[b]
    ) / int(batch.weight_B.sum())
    assert objective.finish(network, batch)["reference_kl"].item() == pytest.approx(mean)


@pytest.mark.parametrize("name", ["a2c", "trpo"])
def test_a_missing_reference_is_refused(name: ObjectiveName) -> None:
    with pytest.raises(ValueError, match="no reference policy"):
        make_objective(settings(objective=name, reference_coefficient=0.1))


@pytest.mark.parametrize("name", ["a2c", "trpo"])
def test_a_reference_survives_a_checkpoint(name: ObjectiveName) -> None:
    space = SPACES["discrete"]
    first, other = policy(space, seed=5), policy(space, seed=6)
    kept, restored = _made(name, first, 0.0, 0.4, {}), _made(name, other, 0.0, 0.4, {})
    restored.set_state(kept.get_state())
    assert torch.equal(other.policy[0].weight, first.policy[0].weight)
    assert _made(name, first, 0.0, 0.0, {}).get_state() == {}
