import dataclasses

import pytest
import torch
from torch import Tensor

from policies.rewards import environment_reward, weighted_sum
from policies.steps import Steps, steps_on
from tests.policies.rollouts import made_up_rollout

CPU = torch.device("cpu")


def _never(steps: Steps) -> Tensor:
    raise AssertionError("a source of weight 0 was asked")


def test_the_sum_is_weighted_and_each_part_is_reported() -> None:
    steps = steps_on(CPU, made_up_rollout())
    sources = {"environment": environment_reward, "first": lambda s: s.observation_TNO[..., 0]}
    total, means = weighted_sum(sources, {"environment": 2.0, "first": -0.5}, steps)
    assert steps.environment_reward_TN is not None
    expected = [2.0 * steps.environment_reward_TN, -0.5 * steps.observation_TNO[..., 0]]
    torch.testing.assert_close(total, expected[0] + expected[1])
    torch.testing.assert_close(means, {"environment": expected[0].mean(), "first": expected[1].mean()})


def test_a_source_of_weight_0_is_never_asked() -> None:
    steps = steps_on(CPU, made_up_rollout())
    sources = {"environment": _never, "one": lambda s: torch.ones(s.cut_TN.shape)}
    total, means = weighted_sum(sources, {"environment": 0.0, "one": 3.0}, steps)
    assert torch.equal(total, torch.full(steps.cut_TN.shape, 3.0))
    assert set(means) == {"one"}


def test_the_environments_reward_is_missed_where_rollouts_do_not_carry_it() -> None:
    steps = dataclasses.replace(steps_on(CPU, made_up_rollout()), environment_reward_TN=None)
    with pytest.raises(ValueError, match="rollouts do not carry it"):
        weighted_sum({"environment": environment_reward}, {"environment": 1.0}, steps)
