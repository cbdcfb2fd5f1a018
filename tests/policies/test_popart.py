import copy

import pytest
import torch
from torch import Tensor

from policies.networks import ActorCritic
from policies.normalisation.popart import update_statistics
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION, OBSERVATION_SPACE


@pytest.fixture
def network() -> ActorCritic:
    torch.manual_seed(0)
    made = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,)).double()
    made.critic[-1].bias.data.fill_(0.7)
    made.value_mean.fill_(2.0)
    made.value_std.fill_(3.0)
    return made


@pytest.fixture
def observation() -> Tensor:
    return torch.randn(30, OBSERVATION, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def target() -> Tensor:
    return 40 + 5 * torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_predictions_stay_what_they_were(
    network: ActorCritic, observation: Tensor, target: Tensor, rate: float
) -> None:
    before, before_normalised = network.value(observation), network.normalised_value(observation)
    update_statistics(network, target_P=target, rate=rate)
    torch.testing.assert_close(network.value(observation), before)
    assert not torch.allclose(network.normalised_value(observation), before_normalised)


def test_each_number_is_that_of_algorithm_1(network: ActorCritic, target: Tensor) -> None:
    """mu and nu move by beta towards the mean of Y and of Y squared; sigma is sqrt(nu - mu^2);
    w becomes sigma_old / sigma w, and b becomes (sigma_old b + mu_old - mu) / sigma."""
    old, beta = copy.deepcopy(network), 0.3
    y = [float(value) for value in target.flatten()]
    old_mu, old_sigma = float(old.value_mean), float(old.value_std)
    mu = (1 - beta) * old_mu + beta * sum(y) / len(y)
    nu = (1 - beta) * (old_sigma**2 + old_mu**2) + beta * sum(value**2 for value in y) / len(y)
    sigma = (nu - mu**2) ** 0.5
    update_statistics(network, target_P=target, rate=beta)
    assert float(network.value_mean) == pytest.approx(mu)
    assert float(network.value_std) == pytest.approx(sigma)
    torch.testing.assert_close(network.critic[-1].weight, old.critic[-1].weight * old_sigma / sigma)
    bias = (old_sigma * old.critic[-1].bias.item() + old_mu - mu) / sigma
    assert network.critic[-1].bias.item() == pytest.approx(bias)


def test_with_rate_1_targets_are_standardised(network: ActorCritic, target: Tensor) -> None:
    update_statistics(network, target_P=target, rate=1.0)
    normalised = (target - network.value_mean) / network.value_std
    assert float(normalised.mean()) == pytest.approx(0)
    assert float(normalised.std(correction=0)) == pytest.approx(1)


@pytest.mark.parametrize("mean", [0.0, 1e3, -1e4])
def test_the_deviation_is_right_far_from_zero(mean: float) -> None:
    network = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))
    target = mean + 0.5 * torch.randn(1000, generator=torch.Generator().manual_seed(1))
    for _ in range(40):
        update_statistics(network, target_P=target, rate=0.5)
    assert float(network.value_mean) == pytest.approx(float(target.mean()), rel=1e-4)
    assert float(network.value_std) == pytest.approx(float(target.std(correction=0)), rel=0.01)


def test_constant_targets_keep_everything_finite(network: ActorCritic, observation: Tensor) -> None:
    before = network.value(observation)
    update_statistics(network, target_P=torch.full((6, 4), 5.0, dtype=torch.float64), rate=1.0)
    torch.testing.assert_close(network.value(observation), before)
    assert float(network.value_std) > 0


def test_only_the_critics_last_layer_moves(network: ActorCritic, target: Tensor) -> None:
    old = copy.deepcopy(network)
    update_statistics(network, target_P=target, rate=0.5)
    for name, value in network.state_dict().items():
        moves = name.startswith(("critic.2.", "value_"))
        assert torch.equal(value, old.state_dict()[name]) != moves, name
