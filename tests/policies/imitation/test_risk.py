import numpy as np
import torch
from numpy.typing import NDArray

from policies.imitation.risk import risk, success_target

DISCOUNT = 0.9
# Two states and two ends: states 0 and 1 lead to 0, 1, the goal and a failure with these probabilities.
CHAIN = np.array([[0.1, 0.5, 0.2, 0.2], [0.3, 0.2, 0.4, 0.1]])


def _discounted_success() -> NDArray[np.float64]:
    """The expectation of discount ** (steps before the one into the goal), by summing over time."""
    expected, alive = np.zeros(2), np.eye(2)
    for t in range(400):
        expected += DISCOUNT**t * alive @ CHAIN[:, 2]
        alive = alive @ CHAIN[:, :2]
    return expected


def test_the_target_has_discounted_success_as_its_fixed_point() -> None:
    """Targets of all four ways on, weighed by their probability, give the value back."""
    value = torch.from_numpy(_discounted_success())
    ways = torch.arange(4)
    next_success_B = torch.where(
        ways < 2, value[ways.clamp_max(1)], torch.full((4,), 7.0, dtype=torch.float64)
    )
    target_B = success_target(
        reached_B=ways == 2,
        terminated_B=ways >= 2,
        next_success_KB=torch.stack([next_success_B + 0.3, next_success_B]),
        discount=DISCOUNT,
    )
    torch.testing.assert_close(torch.from_numpy(CHAIN) @ target_B, value)
    assert target_B[2] == 1
    assert target_B[3] == 0


def test_a_goal_ends_success_also_where_the_episode_goes_on() -> None:
    target_B = success_target(
        reached_B=torch.tensor([True, False]),
        terminated_B=torch.tensor([False, False]),
        next_success_KB=torch.tensor([[0.5, 0.5]]),
        discount=DISCOUNT,
    )
    torch.testing.assert_close(target_B, torch.tensor([1.0, 0.45]))


def test_risk_is_that_of_the_critic_that_doubts_most() -> None:
    success_KP = torch.tensor([[0.9, 0.2, 1.2], [0.6, 0.4, 1.1], [0.7, -0.5, 1.3]])
    torch.testing.assert_close(risk(success_KP), torch.tensor([0.4, 1.0, 0.0]))
