import copy
import dataclasses
import math
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from policies.batch import Batch
from policies.networks import ActorCritic
from policies.objectives.natural_gradient import conjugate_gradient, hessian_product
from policies.objectives.penalties import Penalties
from policies.objectives.trpo import TRPO
from policies.settings import TRPOSettings
from tests.policies.objectives.small_policies import (
    SPACES,
    B,
    batch_of,
    divergence,
    entropy,
    log_prob,
    policy,
    settings,
)

each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
NUMBERS = TRPOSettings(kl_bound=0.01, damping=0.1, conjugate_gradient_steps=40, line_search_steps=10)


BONUS, LEASH = 0.3, 0.4
each_penalty = pytest.mark.parametrize("penalised", [False, True], ids=["bare", "penalised"])


def _objective(reference: ActorCritic | None = None, **changes: Any) -> TRPO:
    """The bare one, or one with a bonus for entropy and a penalty for leaving a reference."""
    numbers: dict[str, Any] = {"objective": "trpo", "trpo": dataclasses.replace(NUMBERS, **changes)}
    if reference is not None:
        numbers |= {"entropy_coefficient": BONUS, "reference_coefficient": LEASH}
    own = settings(**numbers)
    return TRPO(own, Penalties(own, reference))


def _vector(network: ActorCritic) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.policy_parameters()])


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def _surrogate(space: gym.Space[Any], network: ActorCritic, batch: Batch) -> Tensor:
    """Equation 14, by plain loops."""
    counted = [b for b in range(B) if batch.weight_B[b]]
    total = torch.zeros((), dtype=torch.float64)
    for b in counted:
        output = network.policy(batch.observation_BO[b])
        now = log_prob(space, output, network.log_scale, batch.action_BA[b])
        total = total + (now - batch.behaviour_log_prob_B[b]).exp() * batch.advantage_B[b]
    return total / len(counted)


def _gain(space: gym.Space[Any], network: ActorCritic, reference: ActorCritic | None, batch: Batch) -> Tensor:
    """What is maximised, by plain loops."""
    gain = _surrogate(space, network, batch)
    if reference is None:
        return gain
    counted = [b for b in range(B) if batch.weight_B[b]]
    for b in counted:
        output, scale = network.policy(batch.observation_BO[b]), network.log_scale
        there = reference.policy(batch.observation_BO[b]).detach()
        leaves = divergence(space, output, scale, there, reference.log_scale.detach())
        gain = gain + (BONUS * entropy(space, output, scale) - LEASH * leaves) / len(counted)
    return gain


def _divergence(space: gym.Space[Any], before: ActorCritic, now: ActorCritic, batch: Batch) -> Tensor:
    counted = [b for b in range(B) if batch.weight_B[b]]
    total = torch.zeros((), dtype=torch.float64)
    for b in counted:
        observation = batch.observation_BO[b]
        old, old_scale = before.policy(observation).detach(), before.log_scale.detach()
        total = total + divergence(space, old, old_scale, now.policy(observation), now.log_scale)
    return total / len(counted)


def _actions(space: gym.Space[Any]) -> Tensor:
    if isinstance(space, gym.spaces.MultiDiscrete):
        return torch.cartesian_prod(*map(torch.arange, space.nvec.tolist()))
    assert isinstance(space, gym.spaces.Discrete)
    return torch.arange(int(space.n))


def _fisher(space: gym.Space[Any], network: ActorCritic, batch: Batch) -> Tensor:
    """Mean of the score's outer product over all actions: exact, number by number (Box: by its closed form)."""
    parameters = network.policy_parameters()
    size = sum(parameter.numel() for parameter in parameters)
    total, counted = torch.zeros(size, size, dtype=torch.float64), 0

    def gradient(scalar: Tensor) -> Tensor:
        return _flat(
            torch.autograd.grad(
                scalar, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        )

    for b in range(B):
        if not batch.weight_B[b]:
            continue
        counted += 1
        output = network.policy(batch.observation_BO[b])
        if not isinstance(space, gym.spaces.Box):
            for action in _actions(space):
                score = log_prob(space, output, network.log_scale, action)
                row = gradient(score)
                total += score.exp().item() * torch.outer(row, row)
        else:
            for axis, log_sigma in enumerate(network.log_scale):
                mean, scale = gradient(output[axis]), gradient(log_sigma)
                total += torch.outer(mean, mean) / log_sigma.exp().item() ** 2 + 2 * torch.outer(scale, scale)
    return total / counted


@each_penalty
@each_space
def test_the_step_is_the_natural_gradient_of_the_paper(space: gym.Space[Any], penalised: bool) -> None:
    """Appendix C, with the Fisher matrix written out and solved: sqrt(2 delta / x F x) x."""
    network, reference = policy(space), policy(space, seed=5) if penalised else None
    batch = batch_of(network, space)
    gradient = _flat(
        torch.autograd.grad(
            _gain(space, network, reference, batch),
            network.policy_parameters(),
            allow_unused=True,
            materialize_grads=True,
        )
    )
    damped = _fisher(space, network, batch) + NUMBERS.damping * torch.eye(len(gradient), dtype=torch.float64)
    direction = torch.linalg.solve(damped, gradient)
    step = math.sqrt(2 * NUMBERS.kl_bound / (direction @ damped @ direction).item()) * direction
    start, objective = _vector(network), _objective(reference)
    batch = objective.begin(network, batch)
    share = objective.finish(network, batch)["step_share"].item()
    assert share > 0
    torch.testing.assert_close(_vector(network) - start, share * step, rtol=0, atol=1e-9)


@each_space
def test_the_product_is_that_with_the_fisher_matrix(space: gym.Space[Any]) -> None:
    network = policy(space)
    batch = batch_of(network, space)
    output, scale = network.policy(batch.observation_BO), network.log_scale
    divergence_B = network.distribution.divergence(output.detach(), scale.detach().clone(), output, scale)
    mean = (divergence_B * batch.weight_B).sum() / batch.weight_B.sum()
    product = hessian_product(mean, network.policy_parameters(), damping=0.0)
    matrix = _fisher(space, network, batch)
    vector = torch.randn(len(matrix), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(product(vector), matrix @ vector, rtol=0, atol=1e-9)


def test_conjugate_gradients_solve() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix = root @ root.T + 0.5 * torch.eye(6, dtype=torch.float64)
    target = torch.randn(6, generator=generator, dtype=torch.float64)
    exact = torch.linalg.solve(matrix, target)
    found = conjugate_gradient(lambda v: matrix @ v, target, steps=12)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)
    rough = conjugate_gradient(lambda v: matrix @ v, target, steps=2)
    assert (rough - exact).norm() > 10 * (found - exact).norm()
    assert torch.equal(conjugate_gradient(lambda v: v, torch.zeros(3), steps=2), torch.zeros(3))


@each_penalty
@each_space
@pytest.mark.parametrize("kl_bound", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_policy_never_leaves_its_bound_and_gets_better(
    space: gym.Space[Any], kl_bound: float, seed: int, penalised: bool
) -> None:
    """Little damping makes the full step too long, so that the search must shorten it."""
    network, reference = policy(space, seed), policy(space, seed=5) if penalised else None
    before, batch = copy.deepcopy(network), batch_of(network, space, seed)
    objective = _objective(reference, kl_bound=kl_bound, damping=1e-6, line_search_steps=30)
    batch = objective.begin(network, batch)
    moved = _divergence(space, before, network, batch).item()
    watched = objective.finish(network, batch)
    assert watched["kl"].item() == pytest.approx(moved, abs=1e-12)
    assert 0 < moved <= kl_bound
    assert _gain(space, network, reference, batch) > _gain(space, before, reference, batch)
    assert -watched["policy_loss"].item() == pytest.approx(_surrogate(space, network, batch).item())


def test_the_search_is_needed() -> None:
    """Some full step of the test above is too long: without the search the bound would be left."""
    space, shares = SPACES["discrete"], []
    for seed in range(5):
        network = policy(space, seed)
        objective, batch = _objective(kl_bound=1.0, damping=1e-6), batch_of(network, space, seed)
        objective.begin(network, batch)
        shares.append(objective.finish(network, batch)["step_share"].item())
    assert min(shares) < 1


@pytest.mark.parametrize("what", ["nobody acted", "no search"])
def test_a_policy_stays_where_no_step_is_better(what: str) -> None:
    space = SPACES["box"]
    network = policy(space)
    batch, start = batch_of(network, space), _vector(network)
    if what == "nobody acted":
        batch = batch._replace(weight_B=torch.zeros(B, dtype=torch.float64))
        objective = _objective()
    else:
        objective = _objective(kl_bound=1e6, line_search_steps=1)
    objective.begin(network, batch)
    assert torch.equal(_vector(network), start)
    assert objective.finish(network, batch)["step_share"].item() == 0


def test_gradient_steps_are_left_to_the_critic() -> None:
    network = policy(SPACES["discrete"])
    batch = batch_of(network, SPACES["discrete"])
    assert _objective().loss(network, batch, network.policy(batch.observation_BO)) is None
