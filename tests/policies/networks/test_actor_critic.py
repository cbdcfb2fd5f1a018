import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from policies.experience import Actor
from policies.networks import ActorCritic, Context, mlp
from policies.normalisation.popart import update_statistics
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, STEPS, made_up_rollout
from tests.policies.updates import make_update


def _network(**model: Any) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8, 6), **model)


def _names(parameters: list[Any], network: ActorCritic) -> set[str]:
    return {name for name, own in network.named_parameters() if any(own is other for other in parameters)}


def test_without_encoders_both_networks_are_perceptrons() -> None:
    """Drawn in this order, so that a seed goes on giving the weights that it gave."""
    network = _network()
    torch.manual_seed(0)
    policy = mlp(3, (8, 6), 2, activation="tanh", last_gain=0.01)
    critic = mlp(3, (8, 6), 1, activation="tanh", last_gain=1.0)
    assert list(network.policy.state_dict()) == list(policy.state_dict())
    for ours, theirs in ((network.policy, policy), (network.critic, critic)):
        for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(own, other)


def test_a_shared_network_has_two_heads_on_the_policys_layers() -> None:
    network = _network(shared=True)
    assert sum(p.numel() for p in network.parameters()) == (3 + 1) * 8 + (8 + 1) * 6 + (6 + 1) * (2 + 1)
    observation = torch.randn(5, 3)
    hidden = network.policy[:-1](observation)
    head = network.critic[-1]
    torch.testing.assert_close(network.value(observation), (head.weight @ hidden.T + head.bias)[0])


@pytest.mark.parametrize(
    "model", [{}, {"shared": True}, {"recurrent": 5}], ids=["apart", "shared", "recurrent"]
)
def test_policy_parameters_are_what_the_distribution_depends_on(model: dict[str, Any]) -> None:
    network = _network(**model)
    names = _names(network.policy_parameters(), network)
    context = Context(torch.zeros(2, 5), torch.zeros(2, 4, dtype=torch.bool)) if network.memory else None
    output = network(torch.randn(2, 4, 3), context).output.square().sum()
    gradients = torch.autograd.grad(output, list(network.parameters()), allow_unused=True)
    moved = [
        name for (name, _), g in zip(network.named_parameters(), gradients, strict=True) if g is not None
    ]
    assert names == {*moved, "log_scale"}
    assert "critic.0.weight" not in names


def test_box_actions_begin_with_the_scale_that_is_set() -> None:
    box = spaces.Box(-1.0, 1.0, (2,), np.float32)
    network = ActorCritic(OBSERVATION_SPACE, box, hidden=(8,), initial_log_std=-2.0)
    output = network.policy(torch.zeros(20_000, 3))
    action, _ = network.act(torch.zeros(20_000, 3), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close((action - output).std(0), torch.full((2,), math.exp(-2.0)), rtol=0.03, atol=0)


def test_both_heads_at_once_are_each_alone() -> None:
    for shared in (False, True):
        network, observation = _network(shared=shared), torch.randn(5, 3)
        output, value = network(observation)
        torch.testing.assert_close(output, network.policy(observation))
        torch.testing.assert_close(value, network.normalised_value(observation))


def test_the_critics_scale_leaves_a_shared_policy_as_it_is() -> None:
    network, observation = _network(shared=True), torch.randn(5, 3)
    output, value = network.policy(observation), network.value(observation)
    update_statistics(network, target_P=10 + 5 * torch.randn(40), rate=0.5)
    assert torch.equal(network.policy(observation), output)
    torch.testing.assert_close(network.value(observation), value, atol=1e-4, rtol=1e-4)


def _after(network: ActorCritic, value_coefficient: float) -> dict[str, Tensor]:
    """Weights after an update in which the policy's gradient is 0."""
    network = copy.deepcopy(network)
    rollout = made_up_rollout(actor_TN=np.full((STEPS, COLUMNS), Actor.NOBODY, np.uint8))
    numbers = settings(value_coefficient=value_coefficient, max_gradient_norm=1e9)
    make_update(network, numbers)(rollout, torch.Generator().manual_seed(0))
    return network.state_dict()


def test_the_critics_loss_moves_shared_layers_by_its_coefficient() -> None:
    network = _network(shared=True)
    with_critic, without = _after(network, 0.5), _after(network, 0.0)
    assert not torch.equal(with_critic["policy.0.weight"], network.policy[0].weight)
    assert torch.equal(with_critic["policy.0.weight"], with_critic["critic.0.weight"])
    assert torch.equal(without["policy.0.weight"], network.policy[0].weight)
    assert torch.equal(with_critic["policy.4.weight"], network.policy[4].weight)
    apart = _network()
    assert torch.equal(_after(apart, 0.5)["policy.0.weight"], apart.policy[0].weight)


def test_observations_may_have_any_leading_axes() -> None:
    space = spaces.Dict(image=spaces.Box(0, 255, (6, 6, 1), np.uint8), which=spaces.Discrete(3))
    network = ActorCritic(space, ACTION_SPACE, hidden=(8,), image_features=7)
    observation = torch.randint(0, 2, (2, 5, 39), dtype=torch.uint8)
    torch.testing.assert_close(network.value(observation).flatten(), network.value(observation.flatten(0, 1)))
    assert network.policy(observation).shape == (2, 5, 2)
