"""Each reading's loss and gradient, against plain loops in double precision."""

import copy
import dataclasses

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.networks import ActorCritic
from policies.signals.settings import PolicyReading, SignalSettings
from policies.signals.signal_loss import SignalLoss, SignalMinibatch, regret_loss, signal_policy_gradient
from tests.policies.objectives.small_policies import (
    BOX,
    DISCRETE,
    OBSERVATION_SPACE,
    SPACES,
    entropy,
    log_prob,
    policy,
)
from tests.policies.signals.made_up import L, S, in_single_precision, minibatch

READINGS: tuple[PolicyReading, ...] = ("advantage", "return", "regret")
TEMPERATURE, BONUS = 0.7, 0.03


def settings(reading: PolicyReading) -> SignalSettings:
    return SignalSettings(reading=reading, temperature=TEMPERATURE, entropy_coefficient=BONUS)


def credited_log_probs(network: ActorCritic, space: gym.Space, signals: SignalMinibatch) -> list[Tensor]:
    found = []
    for s in range(S):
        total = torch.zeros((), dtype=torch.float64)
        for step in range(L):
            output = network.policy(signals.observation_SLO[s, step])
            score = log_prob(space, output, network.log_scale, signals.action_SLA[s, step])
            total = total + signals.credit_SL[s, step] * score
        found.append(total)
    return found


def slow_loss(reading: str, network: ActorCritic, space: gym.Space, signals: SignalMinibatch) -> Tensor:
    credited, live = credited_log_probs(network, space, signals), range(S - 1)
    if reading != "regret":
        return -sum(signals.value_S[s] * credited[s] for s in live) / len(live)
    # As comparisons: the variance is half the mean squared difference of all pairs.
    left = [signals.value_S[s] - TEMPERATURE * credited[s] for s in live]
    pairs = [(left[a] - left[b]) ** 2 for a in live for b in live if a != b]
    return 0.5 * 0.5 * sum(pairs) / len(pairs)


def slow_entropy(network: ActorCritic, space: gym.Space, signals: SignalMinibatch) -> Tensor:
    total, weights = torch.zeros((), dtype=torch.float64), 0.0
    for s in range(S - 1):
        for step in range(L):
            output, weight = network.policy(signals.observation_SLO[s, step]), signals.credit_SL[s, step]
            total = total + weight * entropy(space, output, network.log_scale)
            weights += float(weight)
    return total / weights


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", SPACES)
def test_loss_and_gradient_are_those_of_plain_loops(name: str, reading: PolicyReading) -> None:
    network = policy(SPACES[name])
    signals = minibatch(network)
    total, loss, randomness = SignalLoss(network, settings(reading))(*signals)
    slow = slow_loss(reading, network, SPACES[name], signals)
    slow_total = slow - BONUS * slow_entropy(network, SPACES[name], signals)
    torch.testing.assert_close(loss, slow, atol=1e-9, rtol=0)
    torch.testing.assert_close(randomness, slow_entropy(network, SPACES[name], signals), atol=1e-9, rtol=0)
    torch.testing.assert_close(total, slow_total, atol=1e-9, rtol=0)
    parameters = network.policy_parameters()
    gradients = [
        torch.autograd.grad(x, parameters, allow_unused=True, materialize_grads=True)
        for x in (total, slow_total)
    ]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=0)
    assert any(part.any() for part in gradients[0])


def test_regret_is_maximum_likelihood_of_a_normal_with_an_offset() -> None:
    """Where offset and noise are free, the likelihood is greatest at the least of this loss, and only there."""
    generator = torch.Generator().manual_seed(0)
    said = torch.rand(7, generator=generator, dtype=torch.float64)
    tried = [torch.randn(7, 1, generator=generator, dtype=torch.float64) for _ in range(30)]

    def log_likelihood(credited: Tensor) -> float:
        left = said - TEMPERATURE * credited[:, 0]
        noise = float((left - left.mean()).square().mean().sqrt())
        return float(torch.distributions.Normal(left.mean(), noise).log_prob(left).sum())

    ones = torch.ones(7, dtype=torch.float64)
    losses = [
        float(
            regret_loss(
                log_prob_SL=x, credit_SL=ones[:, None], value_S=said, weight_S=ones, temperature=TEMPERATURE
            )
        )
        for x in tried
    ]
    order = sorted(range(30), key=losses.__getitem__)
    assert order == sorted(range(30), key=lambda i: -log_likelihood(tried[i]))


def test_minibatches_give_the_regret_gradient_of_all_signals_in_expectation() -> None:
    generator = torch.Generator().manual_seed(0)
    log_prob_SL = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    value_S = torch.randn(5, generator=generator, dtype=torch.float64)

    def gradient(rows: list[int]) -> Tensor:
        given = log_prob_SL.clone().requires_grad_()
        weight = torch.zeros(5, dtype=torch.float64)
        weight[rows] = 1
        loss = regret_loss(
            log_prob_SL=given,
            credit_SL=torch.ones_like(log_prob_SL),
            value_S=value_S,
            weight_S=weight,
            temperature=TEMPERATURE,
        )
        return torch.autograd.grad(loss, given)[0]

    pairs = [[a, b] for a in range(5) for b in range(a)]
    mean = sum(gradient(pair) for pair in pairs) / len(pairs)
    torch.testing.assert_close(mean, gradient(list(range(5))), atol=1e-12, rtol=0)


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_is_learnt_where_nothing_counts(rows: int) -> None:
    network = policy(DISCRETE)
    signals = minibatch(network)
    weight_S = (torch.arange(S) < rows).double()
    parts = {
        "log_prob_SL": torch.randn(S, L, dtype=torch.float64),
        "credit_SL": signals.credit_SL,
        "value_S": signals.value_S,
        "weight_S": weight_S,
    }
    assert regret_loss(**parts, temperature=TEMPERATURE) == 0
    unknown = torch.full((S, L), torch.nan, dtype=torch.float64)
    loss = signal_policy_gradient(**parts, first_log_prob_SL=unknown, clip=0.2)
    assert (loss == 0) == (rows == 0)


def test_a_signal_moves_a_probability_so_far_and_no_farther() -> None:
    """PPO's clipped surrogate, step by step: its gradient is 0 where this one is, and has its sign elsewhere."""
    for value in (1.0, -0.5):
        for moved in (-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3):
            log_prob = torch.tensor([[moved - 1.0]], dtype=torch.float64, requires_grad=True)
            one = torch.ones(1, dtype=torch.float64)
            loss = signal_policy_gradient(
                log_prob_SL=log_prob,
                first_log_prob_SL=torch.tensor([[-1.0]], dtype=torch.float64),
                credit_SL=one[:, None],
                value_S=value * one,
                weight_S=one,
                clip=0.2,
            )
            ratio = torch.exp(log_prob + 1.0)
            clipped = -torch.minimum(ratio * value, ratio.clamp(0.8, 1.2) * value).sum()
            (own,) = torch.autograd.grad(loss, log_prob)
            (slow,) = torch.autograd.grad(clipped, log_prob)
            assert float(own.sign()) == float(slow.sign())
            assert float(own) in (0.0, -value)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", SPACES)
def test_traced_steps_are_those_of_autograd_and_the_critic_has_none(
    name: str, reading: PolicyReading
) -> None:
    network = policy(SPACES[name])
    signals = in_single_precision(minibatch(network))
    network = network.float()
    critic = copy.deepcopy(network.critic.state_dict())
    results = []
    for traced in (True, False):
        module = SignalLoss(copy.deepcopy(network), settings(reading))
        flat = flatten_parameters(module)
        optimiser = torch.optim.Adam([flat], 0.01)
        step = GradientStep(module, flat, optimiser=optimiser, max_gradient_norm=1.0, traced=traced)
        losses = [step(*signals)[0].clone() for _ in range(5)]
        assert losses[-1] < losses[0]
        assert all("critic" not in parameter for parameter, _ in module.named_parameters())
        results.append(flat.detach().clone())
    torch.testing.assert_close(*results)
    torch.testing.assert_close(network.critic.state_dict(), critic)


def test_a_recurrent_policy_is_refused() -> None:
    recurrent = ActorCritic(OBSERVATION_SPACE, BOX, hidden=(4,), recurrent=3)
    with pytest.raises(ValueError, match="recurrent"):
        SignalLoss(recurrent, SignalSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_decay": 1.1},
        {"trace_decay": -0.1},
        {"temperature": 0.0},
        {"learning_rate": 0.0},
        {"minibatch_size": 0},
        {"gradient_steps": 0},
        {"max_gradient_norm": 0.0},
        {"entropy_coefficient": -0.1},
        {"most_versions": -1},
        {"clip": 0.0},
        {"clip": 1.0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(SignalSettings(), **wrong)
