"""The pieces of the benchmark: rewards that change as they say, and coverage that grows by exploring."""

import numpy as np
import pytest
import torch

from benchmarks.loop import Loop
from benchmarks.reward_change.changes import TASKS, ChangingReward, explained_variance
from benchmarks.reward_change.coverage import covered
from policies.steps import steps_on

PENDULUM = TASKS["pendulum"]


def _loop(reward: ChangingReward) -> Loop:
    return Loop(PENDULUM.world, {"learned": reward}, seed=0)


def test_a_scale_is_a_factor_and_an_offset_of_the_true_reward() -> None:
    reward = ChangingReward(PENDULUM, "scale", seed=0)
    steps = steps_on(torch.device("cpu"), _loop(reward).collect().rollout)
    first = reward(steps)
    torch.testing.assert_close(first, PENDULUM.reward(steps.next_observation_TNO))
    reward.version = 1
    torch.testing.assert_close(reward(steps), 10 * first + 5)


def test_versions_are_on_one_scale_and_come_nearer_to_the_true_reward() -> None:
    reward = ChangingReward(PENDULUM, "versions", seed=0)
    steps = steps_on(torch.device("cpu"), _loop(reward).collect().rollout)
    true_P, alike = PENDULUM.reward(steps.next_observation_TNO).flatten().numpy(), []
    for reward.version in range(6):
        judged_P = reward(steps).flatten().numpy()
        assert judged_P.mean() == pytest.approx(0.0, abs=1e-4)
        assert judged_P.std() == pytest.approx(1.0, abs=1e-2)
        alike.append(np.corrcoef(judged_P, true_P)[0, 1])
    assert alike[-1] > 0.95 > alike[0]


def test_explained_variance_is_that_of_what_followed() -> None:
    """A critic that says the mean explains nothing, one that is off by far less than nothing."""
    reward = ChangingReward(PENDULUM, "scale", seed=0)
    loop = _loop(reward)
    rollout = loop.collect().rollout
    loop.network.critic[-1].weight.data.zero_()
    loop.network.value_mean.fill_(1000.0)
    assert explained_variance(loop, rollout, reward) == -1.0
    for _ in range(24):
        loop.learn(loop.collect())
    assert 0.2 < explained_variance(loop, loop.collect().rollout, reward) <= 1.0


def test_who_explores_sees_more_of_a_space_than_the_untrained_policy() -> None:
    explored, untrained = (
        [covered("pendulum", explores=explores, seed=seed, updates=8)[-1] for seed in (0, 1)]
        for explores in (True, False)
    )
    assert min(explored) > max(untrained) + 0.02
