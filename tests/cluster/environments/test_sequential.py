"""Environments that fail: one is made anew, and the others go on."""

from typing import Any

import numpy as np
import pytest
import torch

from cluster.environments.making import make, make_vector
from cluster.environments.sequential import MOST_FAILURES, SequentialEnvironments
from cluster.loop.rollouts.collector import Collected, Collector
from cluster.runs.config import EnvironmentConfig
from hitl.errors import ConfigError
from policies.advantages import Rows, gae, over_duration
from policies.experience import Actor
from tests.cluster.dice import Dice

FRAGILE = "tests.cluster.worlds:Fragile"
COLUMNS, STEPS, SEED, BREAKS = 3, 40, 5, 2


def _environment(fixed_horizon: int | None = None, **kwargs: Any) -> EnvironmentConfig:
    return EnvironmentConfig(id=FRAGILE, kwargs={"lengths": (6,)} | kwargs, fixed_horizon=fixed_horizon)


def _collect(environment: EnvironmentConfig) -> Collected:
    envs = make_vector(environment, COLUMNS)
    return Collector(envs, Dice(actions=3), source="r", seed=SEED, share_reward=True).collect(
        STEPS, policy_version=0
    )


@pytest.mark.parametrize("fixed_horizon", [None, 5, 9])
def test_an_environment_that_fails_is_made_anew_and_the_others_go_on(fixed_horizon: int | None) -> None:
    """Each column again by hand: a new environment wherever the recorded action breaks one."""
    environment = _environment(fixed_horizon)
    collected = _collect(environment)
    rollout = collected.rollout
    final = dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))
    sequence = np.random.SeedSequence(SEED)
    new_seeds = np.random.default_rng(sequence.spawn(1)[0])
    envs = [make(environment) for _ in range(COLUMNS)]
    seeds = sequence.generate_state(COLUMNS)
    current = [env.reset(seed=int(seed))[0] for env, seed in zip(envs, seeds, strict=True)]
    broken = []
    for t, n in np.ndindex(STEPS, COLUMNS):
        np.testing.assert_array_equal(rollout.observation_TNO[t, n], current[n])
        ended = (rollout.terminated_TN[t, n], rollout.truncated_TN[t, n])
        try:
            current[n], reward, terminated, truncated, info = envs[n].step(rollout.action_TNA[t, n])
        except RuntimeError:
            broken.append((t, n))
            assert (rollout.duration_TN[t, n], rollout.actor_TN[t, n]) == (0, Actor.NOBODY)
            assert (collected.true_reward_TN[t, n], *ended) == (0, False, True)
            np.testing.assert_array_equal(final.pop(t * COLUMNS + n), current[n])
            envs[n] = make(environment)
            current[n] = envs[n].reset(seed=int(new_seeds.integers(2**32)))[0]
            continue
        assert (collected.true_reward_TN[t, n], *ended) == (reward, terminated, truncated)
        assert rollout.actor_TN[t, n] == (Actor.NOBODY if info else Actor.POLICY)
        if terminated or truncated:
            np.testing.assert_array_equal(final.pop(t * COLUMNS + n), current[n])
            current[n] = envs[n].reset()[0]
    assert not final
    assert len({n for _, n in broken}) == COLUMNS
    assert collected.lost_environments == {"error": len(broken)}
    # Each starts at a number of its own, those made anew too.
    drawn = rollout.observation_TNO[1:][tuple(np.transpose(broken))][:, 0]
    assert len(set(drawn.tolist())) == len(broken)


def test_episodes_that_were_lost_are_numbered_and_not_counted() -> None:
    collected = _collect(_environment())
    rollout = collected.rollout
    ends = rollout.terminated_TN.sum()
    assert len(collected.episodes) == ends > 0
    assert {episode.steps for episode in collected.episodes} == {6}
    addresses = set(zip(rollout.episode_TN.ravel().tolist(), rollout.step_TN.ravel().tolist(), strict=True))
    assert len(addresses) == rollout.steps


def test_each_rollout_counts_what_was_lost_in_it() -> None:
    collector = Collector(
        make_vector(_environment(), COLUMNS), Dice(actions=3), source="r", seed=SEED, share_reward=True
    )
    for _ in range(3):
        collected = collector.collect(STEPS, policy_version=0)
        assert collected.lost_environments == {"error": (collected.rollout.duration_TN == 0).sum()}


def test_a_lost_step_teaches_nothing_and_is_bootstrapped_before() -> None:
    rollout = _collect(_environment()).rollout
    reward = torch.tensor(rollout.environment_reward_TN)
    earned, discount = over_duration(
        reward_TN=reward, duration_TN=torch.tensor(rollout.duration_TN), discount=0.9
    )
    value = torch.tensor(rollout.observation_TNO).sum(-1)
    following = value[1:].clone().flatten()
    following[rollout.final_index_K] = torch.tensor(rollout.final_observation_KO).sum(-1)
    rows = Rows(
        reward_TN=earned,
        value_TN=value[:-1],
        next_value_TN=following.view(STEPS, COLUMNS),
        terminated_TN=torch.tensor(rollout.terminated_TN),
        cut_TN=torch.tensor(rollout.terminated_TN | rollout.truncated_TN),
        discount_TN=discount,
    )
    advantage = gae(rows, gae_lambda=0.8).advantage_TN
    lost = np.argwhere(rollout.duration_TN == 0)
    assert len(lost) > 5
    for t, n in lost:
        assert advantage[t, n] == 0
        before = reward[t - 1, n] + 0.9 * value[t, n] - value[t - 1, n]
        torch.testing.assert_close(advantage[t - 1, n], before)


def test_what_is_made_anew_follows_from_the_seed() -> None:
    first, again = (_collect(_environment()).rollout for _ in range(2))
    np.testing.assert_array_equal(first.observation_TNO, again.observation_TNO)


def test_one_that_fails_is_closed() -> None:
    envs = make_vector(_environment(), 2)
    assert isinstance(envs, SequentialEnvironments)
    envs.reset(0)
    kept, broken = envs.envs
    envs.step(np.zeros(2, np.int64))
    envs.step(np.array([0, BREAKS]))
    assert [envs.envs[0] is kept, envs.envs[1] is broken] == [True, False]
    assert (kept.unwrapped.closed, broken.unwrapped.closed) == (False, True)


def test_a_start_that_fails_loses_no_step() -> None:
    """The first episode was whole, so it counts; only what follows is made anew."""
    envs = make_vector(_environment(lengths=(2,), breaks_at_start=True), 2)
    envs.reset(0)
    for _ in range(5):
        envs.step(np.zeros(2, np.int64))
        stepped = envs.step(np.zeros(2, np.int64))
        assert stepped.terminated_N.all()
        assert (stepped.duration_N == 1).all()
        assert [observation[2] for observation in stepped.final_observation_KO] == [2, 2]
        assert stepped.observation_NO[:, 1:].tolist() == [[0, 0, 0]] * 2
    assert envs.lost == {"error": 10}


def test_beginning_all_anew_makes_those_that_fail_anew_too() -> None:
    envs = make_vector(_environment(lengths=(2,), breaks_at_start=True), 2)
    envs.reset(0)
    assert envs.reset(1)[:, 1:].tolist() == [[0, 0, 0]] * 2
    assert envs.lost == {"error": 2}


def test_one_that_always_fails_is_given_up() -> None:
    envs = make_vector(_environment(safe_steps=0), 2)
    envs.reset(0)
    for _ in range(MOST_FAILURES):
        envs.step(np.array([0, BREAKS]))
    with pytest.raises(ConfigError, match=rf"failed {MOST_FAILURES + 1} times in a row.*simulator is gone"):
        envs.step(np.array([0, BREAKS]))


def test_failures_with_good_steps_between_them_go_on() -> None:
    envs = make_vector(_environment(safe_steps=0, lengths=(100,)), 2)
    envs.reset(0)
    for t in range(5 * MOST_FAILURES):
        envs.step(np.array([0, BREAKS if t % 2 else 0]))
    assert envs.lost.total() > MOST_FAILURES


def test_one_that_cannot_be_made_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = make_vector(_environment(safe_steps=0), 2)
    envs.reset(0)
    monkeypatch.setattr("tests.cluster.worlds.Fragile.reset", lambda *_, **__: 1 / 0)
    with pytest.raises(ConfigError, match=r"times in a row.*ZeroDivisionError"):
        envs.step(np.array([0, BREAKS]))
