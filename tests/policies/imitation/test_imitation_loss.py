import copy

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.imitation.imitation_loss import ImitationLoss, imitation_loss
from policies.imitation.settings import LossName
from policies.networks import ActorCritic
from tests.policies.objectives.small_policies import (
    BOX,
    OBSERVATION_SPACE,
    SPACES,
    B,
    batch_of,
    in_single_precision,
    log_prob,
    policy,
)

KINDS: list[tuple[str, LossName]] = [*((name, "likelihood") for name in SPACES), ("box", "squared_error")]


def _labels(network: ActorCritic, name: str) -> tuple[Tensor, Tensor, Tensor]:
    batch = batch_of(network, SPACES[name])
    return batch.observation_BO, batch.action_BA, 0.3 * torch.arange(B, dtype=torch.float64)


def _slowly(network: ActorCritic, name: str, loss: str, labels: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    total, weights = torch.zeros((), dtype=torch.float64), 0.0
    for observation, action, weight in zip(*labels, strict=True):
        output = network.policy(observation)
        if loss == "squared_error":
            error = sum((output[a] - action[a]) ** 2 for a in range(2)) / 2
        else:
            error = -log_prob(SPACES[name], output, network.log_scale, action)
        total, weights = total + weight * error, weights + float(weight)
    return total / weights


@pytest.mark.parametrize(("name", "loss"), KINDS)
def test_loss_and_gradient_are_those_of_plain_loops(name: str, loss: LossName) -> None:
    network = policy(SPACES[name])
    labels = _labels(network, name)
    (ours,) = ImitationLoss(network, loss)(*labels)
    slow = _slowly(network, name, loss, labels)
    torch.testing.assert_close(ours, slow)
    parameters = network.policy_parameters()
    gradients = [
        torch.autograd.grad(x, parameters, allow_unused=True, materialize_grads=True) for x in (ours, slow)
    ]
    torch.testing.assert_close(*gradients)
    assert any(part.any() for part in gradients[0])


def test_labels_of_no_weight_are_no_loss() -> None:
    network = policy(BOX)
    observation_BO, action_BA, weight_B = _labels(network, "box")
    loss = imitation_loss(
        network.distribution,
        output_BA=network.policy(observation_BO),
        log_scale=network.log_scale,
        action_BA=action_BA,
        weight_B=torch.zeros_like(weight_B),
    )
    assert loss.item() == 0


@pytest.mark.parametrize(("name", "loss"), KINDS)
def test_traced_steps_are_those_of_autograd_and_the_critic_has_none(name: str, loss: LossName) -> None:
    network = policy(SPACES[name]).float()
    labels = in_single_precision(batch_of(network.double(), SPACES[name]))
    inputs = (labels.observation_BO, labels.action_BA, labels.weight_B)
    network = network.float()
    critic = copy.deepcopy(network.critic.state_dict())
    results = []
    for traced in (True, False):
        module = ImitationLoss(copy.deepcopy(network), loss)
        flat = flatten_parameters(module)
        optimiser = torch.optim.Adam([flat], 0.01)
        step = GradientStep(module, flat, optimiser=optimiser, max_gradient_norm=1.0, traced=traced)
        losses = [step(*inputs)[0].clone() for _ in range(5)]
        assert losses[-1] < losses[0]
        assert all("critic" not in parameter for parameter, _ in module.named_parameters())
        results.append(flat.detach().clone())
    torch.testing.assert_close(*results)
    torch.testing.assert_close(network.critic.state_dict(), critic)


def test_what_cannot_be_fitted_is_refused() -> None:
    recurrent = ActorCritic(OBSERVATION_SPACE, BOX, hidden=(4,), recurrent=3)
    with pytest.raises(ValueError, match="recurrent"):
        ImitationLoss(recurrent)
    choices = ActorCritic(OBSERVATION_SPACE, gym.spaces.Discrete(3), hidden=(4,))
    with pytest.raises(ValueError, match="choose likelihood"):
        ImitationLoss(choices, "squared_error")
