"""Demonstrations and goals against their formulas in plain loops."""

import math

import numpy as np
import pytest
import torch

from hitl.reward.likelihoods.choices import choice_log_likelihood
from hitl.reward.likelihoods.goals import goal_log_likelihood

RNG = np.random.default_rng(0)


def test_a_demonstration_is_a_softmax_over_what_could_have_been_shown() -> None:
    returns = RNG.normal(0, 3, (2, 3, 4))
    rationality = [0.5, 1.0, 2.0]
    found = choice_log_likelihood(
        worth_KBC=torch.from_numpy(returns), rationality=torch.tensor(rationality, dtype=torch.float64)
    )
    for k, b in np.ndindex(2, 3):
        odds = [math.exp(rationality[b] * value) for value in returns[k, b]]
        assert float(found[k, b]) == pytest.approx(math.log(odds[0] / sum(odds)))
    alike = choice_log_likelihood(worth_KBC=torch.zeros(1, 1, 8), rationality=1.0)
    assert float(alike) == pytest.approx(-math.log(8))


def test_a_goal_is_a_logistic_function_of_the_reward() -> None:
    for reward, scale, offset, lapse in RNG.uniform([-5, 0.1, -2, 0], [5, 3, 2, 0.5], (30, 4)).tolist():
        shares = []
        for reached in (1, 0):
            value = goal_log_likelihood(
                reward_KB=torch.tensor([[reward]], dtype=torch.float64),
                reached_B=torch.tensor([reached]),
                scale=scale,
                offset=offset,
                lapse=lapse,
            )
            yes = 1 / (1 + math.exp(-(scale * reward + offset)))
            expected = (1 - lapse) * (yes if reached else 1 - yes) + lapse / 2
            assert float(value) == pytest.approx(math.log(expected))
            shares.append(math.exp(float(value)))
        assert sum(shares) == pytest.approx(1)


def test_their_gradients_are_those_of_small_differences() -> None:
    rewards = torch.from_numpy(RNG.normal(0, 2, (2, 3, 4))).requires_grad_()
    scale = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda r, s: choice_log_likelihood(worth_KBC=r, rationality=s), (rewards, scale)
    )
    reached = torch.tensor([1, 0, 1])
    assert torch.autograd.gradcheck(
        lambda r, s: goal_log_likelihood(reward_KB=r, reached_B=reached, scale=s, offset=0.3, lapse=0.1),
        (rewards[..., 0].detach().requires_grad_(), scale),
    )
