import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from cluster.environments.fixed_horizon import DURATION
from cluster.environments.making import make, make_vector
from cluster.environments.vector import VectorEnvironment
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collected, Collector
from cluster.runs.config import EnvironmentConfig
from policies.acting.inference import acting_policy
from policies.experience import Actor
from policies.networks import ActorCritic

COLUMNS, STEPS, ROLLOUTS, SEED = 3, 7, 3, 11
WORLDS = {
    "terminated": {"kwargs": {"lengths": (3, 5, 1)}},
    "truncated": {"kwargs": {"lengths": (3, 5, 1), "truncates": True}},
    "fixed horizon": {"kwargs": {"lengths": (3, 9, 5)}, "fixed_horizon": 5},
    "long stillness": {"kwargs": {"lengths": (3, 4, 1)}, "fixed_horizon": 20},
}


def _network(envs: VectorEnvironment) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(envs.observation_space, envs.action_space, hidden=(8,))


def _collector(name: str = "Diary", *, share_reward: bool = False, **settings: Any) -> Collector:
    envs = make_vector(EnvironmentConfig(id=f"tests.cluster.worlds:{name}", **settings), COLUMNS)
    policy = acting_policy(envs.observation_space, envs.action_space, seed=SEED, hidden=(8,))
    policy.load(acting_weights(_network(envs)))
    return Collector(envs, policy, source="runner-1", seed=SEED, share_reward=share_reward)


def _gather(collector: Collector) -> list[Collected]:
    return [collector.collect(STEPS, policy_version=4 + i) for i in range(ROLLOUTS)]


def _along(gathered: list[Collected], field: str) -> np.ndarray[Any, Any]:
    """A field of consecutive rollouts, as one."""
    return np.concatenate([getattr(collected.rollout, field) for collected in gathered])


@pytest.mark.parametrize("settings", WORLDS.values(), ids=WORLDS)
def test_rollouts_are_what_single_environments_play(settings: dict[str, Any]) -> None:
    """Each column again by hand: one environment, the same seed, the recorded actions."""
    gathered = _gather(_collector(**settings))
    seeds = np.random.SeedSequence(SEED).generate_state(COLUMNS)
    observation = np.concatenate([c.rollout.observation_TNO[:-1] for c in gathered])
    following = np.concatenate([_next_observations(c) for c in gathered])
    action, reward = _along(gathered, "action_TNA"), np.concatenate([c.true_reward_TN for c in gathered])
    ends = {"terminated": _along(gathered, "terminated_TN"), "truncated": _along(gathered, "truncated_TN")}
    actor, step = _along(gathered, "actor_TN"), _along(gathered, "step_TN")
    duration = _along(gathered, "duration_TN")
    ended = 0
    for n in range(COLUMNS):
        env = make(EnvironmentConfig(id="tests.cluster.worlds:Diary", **settings))
        current, _ = env.reset(seed=int(seeds[n]))
        since = 0
        for place in ((t, n) for t in range(STEPS * ROLLOUTS)):
            np.testing.assert_array_equal(observation[place], current)
            assert step[place] == since
            current, expected_reward, terminated, truncated, info = env.step(action[place])
            np.testing.assert_array_equal(following[place], current)
            assert reward[place] == expected_reward
            assert (ends["terminated"][place], ends["truncated"][place]) == (terminated, truncated)
            assert actor[place] == (Actor.NOBODY if info else Actor.POLICY)
            assert duration[place] == info.get(DURATION, 1)
            since += duration[place]
            if terminated or truncated:
                current, _ = env.reset()
                since, ended = 0, ended + 1
    assert ended > 2 * COLUMNS


def _next_observations(collected: Collected) -> np.ndarray[Any, Any]:
    rollout = collected.rollout
    following = rollout.observation_TNO[1:].copy()
    ends = np.flatnonzero(rollout.terminated_TN | rollout.truncated_TN)
    assert rollout.final_index_K.tolist() == ends.tolist()
    for index, observation in zip(rollout.final_index_K, rollout.final_observation_KO, strict=True):
        following[np.divmod(index, COLUMNS)] = observation
    return following


def test_a_rollout_goes_on_where_the_last_one_stopped() -> None:
    gathered = _gather(_collector(**WORLDS["terminated"]))
    for before, after in itertools.pairwise(gathered):
        np.testing.assert_array_equal(before.rollout.observation_TNO[-1], after.rollout.observation_TNO[0])
    assert [c.rollout.policy_version for c in gathered] == [4, 5, 6]


def test_an_episodes_number_names_it_alone() -> None:
    gathered = _gather(_collector(**WORLDS["terminated"]))
    episode, step = _along(gathered, "episode_TN"), _along(gathered, "step_TN")
    ended = _along(gathered, "terminated_TN")
    assert episode[0].tolist() == [0, 1, 2]
    for n in range(COLUMNS):
        for t in range(1, len(episode)):
            assert (episode[t, n] != episode[t - 1, n]) == ended[t - 1, n]
    places = set(zip(episode.ravel().tolist(), step.ravel().tolist(), strict=True))
    assert len(places) == episode.size


def test_finished_episodes_carry_their_true_return() -> None:
    """Lengths are 3, 5, 1, ...; the reward of a step is 10 episode + step + action."""
    gathered = _gather(_collector(**WORLDS["terminated"]))
    action = _along(gathered, "action_TNA")
    expected, lengths = [], (3, 5, 1)
    for n in range(COLUMNS):
        t = number = 0
        while t + lengths[number % 3] <= STEPS * ROLLOUTS:
            length = lengths[number % 3]
            rows = range(t, t + length)
            earned = sum(10 * number + i + 1 + int(action[row, n]) for i, row in enumerate(rows))
            expected.append((t + length, float(earned), length))
            t, number = t + length, number + 1
    told = [(episode.true_return, episode.steps) for c in gathered for episode in c.episodes]
    assert sorted(told) == sorted((earned, length) for _, earned, length in expected)


def test_the_rollout_carries_the_environments_reward_only_where_it_is_shared() -> None:
    kept, shared = _collector(), _collector(share_reward=True)
    kept_rollout, shared_rollout = (c.collect(STEPS, policy_version=1) for c in (kept, shared))
    assert kept_rollout.rollout.environment_reward_TN is None
    np.testing.assert_array_equal(shared_rollout.rollout.environment_reward_TN, shared_rollout.true_reward_TN)
    np.testing.assert_array_equal(kept_rollout.true_reward_TN, shared_rollout.true_reward_TN)


def test_actions_are_clipped_for_the_environment_only() -> None:
    collector = _collector("Slider")
    rollout = collector.collect(STEPS, policy_version=0).rollout
    low, high = np.float32([-0.1, -0.2]), np.float32([0.1, 0.3])
    for n, env in enumerate(collector.envs.envs):
        taken = np.stack(env.unwrapped.taken)
        np.testing.assert_array_equal(taken, np.clip(rollout.action_TNA[:, n], low, high))
    assert (np.abs(rollout.action_TNA) > 0.3).any()
    with torch.no_grad():
        log_prob, _ = _network(collector.envs).evaluate(
            torch.from_numpy(rollout.observation_TNO[:-1]), torch.from_numpy(rollout.action_TNA)
        )
    np.testing.assert_allclose(rollout.log_prob_TN, log_prob, rtol=1e-5)


def test_actions_and_observations_follow_from_the_seed() -> None:
    first, again = (_collector().collect(STEPS, policy_version=0).rollout for _ in range(2))
    np.testing.assert_array_equal(first.action_TNA, again.action_TNA)
    np.testing.assert_array_equal(first.observation_TNO, again.observation_TNO)
    assert len(set(first.observation_TNO[0, :, 0].tolist())) == COLUMNS


def test_a_rollout_is_left_alone_by_the_next_one() -> None:
    collector = _collector(share_reward=True, **WORLDS["terminated"])
    rollout = collector.collect(STEPS, policy_version=0).rollout
    arrays = {
        field.name: value
        for field in dataclasses.fields(rollout)
        if isinstance(value := getattr(rollout, field.name), np.ndarray)
    }
    kept = {name: value.copy() for name, value in arrays.items()}
    collector.collect(STEPS, policy_version=0)
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, kept[name])


def test_new_weights_act_in_the_next_rollout() -> None:
    collector = _collector()
    network = _network(collector.envs)
    with torch.no_grad():
        network.policy[-1].bias.copy_(torch.tensor([0.0, 50.0, 0.0]))
    collector.policy.load(acting_weights(network))
    rollout = collector.collect(STEPS, policy_version=1).rollout
    assert (rollout.action_TNA == 1).all()
    np.testing.assert_allclose(rollout.log_prob_TN, 0, atol=1e-5)


def test_a_rollout_without_an_episodes_end_has_no_final_observation() -> None:
    rollout = _collector("Endless").collect(STEPS, policy_version=0).rollout
    assert rollout.final_index_K.shape == (0,)
    assert rollout.final_observation_KO.shape == (0, 4)
    assert rollout.steps == STEPS * COLUMNS
