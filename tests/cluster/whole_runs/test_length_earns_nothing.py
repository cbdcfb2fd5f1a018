"""Under a learned reward an episode earns by what it shows, never by how long it goes on."""

import numpy as np
import pytest
import torch

from cluster.environments.making import make_vector
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.questions.candidates import cut
from policies.acting.inference import acting_policy
from policies.advantages import Rows, gae, over_duration
from policies.experience import Rollout
from policies.networks import ActorCritic

HORIZON = 20
DIARY = "tests.cluster.worlds:Diary"


def _episodes(length: int, *, fixed_horizon: int | None) -> Rollout:
    environment = EnvironmentConfig(id=DIARY, kwargs={"lengths": (length,)}, fixed_horizon=fixed_horizon)
    envs = make_vector(environment, 2)
    network = ActorCritic(envs.observation_space, envs.action_space, hidden=(8,))
    policy = acting_policy(envs.observation_space, envs.action_space, seed=0, hidden=(8,))
    policy.load(acting_weights(network))
    collector = Collector(envs, policy, source="runner", seed=0, share_reward=False)
    return collector.collect(2 * HORIZON, policy_version=0).rollout


def _first_return(rollout: Rollout, ensemble: RewardEnsemble, *, raw: bool) -> float:
    """What the model says of the first episode, over all its environment steps."""
    rows = rollout.episode_TN[:, 0] == 0
    observation = torch.from_numpy(rollout.observation_TNO[:-1][rows, 0])
    action = torch.from_numpy(rollout.action_TNA[rows, 0])
    with torch.no_grad():
        reward = ensemble.raw(observation, action)[0] if raw else ensemble.reward(observation, action)
    return (reward * torch.from_numpy(rollout.duration_TN[rows, 0])).sum().item()


def _indifferent() -> RewardEnsemble:
    """A model that gives every step the same, more than nothing."""
    space = InputSpace(observation_size=4, action_size=3, discrete=True)
    ensemble = RewardEnsemble(space, members=2, hidden=(8,))
    with torch.no_grad():
        ensemble.weights[-1].zero_()
        ensemble.biases[-1].fill_(0.37)
    ensemble.set_gauge(torch.randn(300, 4), torch.randint(3, (300,)))
    return ensemble


def test_a_reward_for_each_step_alone_earns_nothing() -> None:
    """Without horizon and gauge the longer episode would earn more: the counter-assertion."""
    ensemble = _indifferent()
    early, late = (_episodes(length, fixed_horizon=None) for length in (3, HORIZON))
    assert _first_return(late, ensemble, raw=True) > 6 * _first_return(early, ensemble, raw=True) > 0
    early, late = (_episodes(length, fixed_horizon=HORIZON) for length in (3, HORIZON))
    earned = [_first_return(rollout, ensemble, raw=True) for rollout in (late, early)]
    assert earned[0] == pytest.approx(earned[1], rel=1e-6)
    assert _first_return(late, ensemble, raw=False) == _first_return(early, ensemble, raw=False) == 0


def test_every_episode_lasts_its_horizon_and_is_cut_there() -> None:
    early, late = (_episodes(length, fixed_horizon=HORIZON) for length in (3, HORIZON))
    for rollout in (early, late):
        assert not rollout.terminated_TN.any()
        whole = np.unique(rollout.episode_TN[rollout.truncated_TN])
        assert len(whole) > 2
        for number in whole:
            assert rollout.duration_TN[rollout.episode_TN == number].sum() == HORIZON
    assert _episodes(3, fixed_horizon=None).terminated_TN.any()


def test_a_teller_of_nothing_gives_every_row_the_same_value_whatever_its_duration() -> None:
    """A critic that knows the constant reward finds no advantage anywhere: dying is worth what living is."""
    rollout = _episodes(3, fixed_horizon=HORIZON)
    discount, reward = 0.9, 0.37
    worth = torch.full(rollout.terminated_TN.shape, reward / (1 - discount))
    earned, discount_TN = over_duration(
        reward_TN=torch.full_like(worth, reward),
        duration_TN=torch.from_numpy(rollout.duration_TN),
        discount=discount,
    )
    rows = Rows(
        reward_TN=earned,
        value_TN=worth,
        next_value_TN=worth,
        terminated_TN=torch.from_numpy(rollout.terminated_TN),
        cut_TN=torch.from_numpy(rollout.terminated_TN | rollout.truncated_TN),
        discount_TN=discount_TN,
    )
    advantage = gae(rows, gae_lambda=0.95).advantage_TN
    assert (rollout.duration_TN > 1).any()
    torch.testing.assert_close(advantage, torch.zeros_like(advantage), atol=1e-5, rtol=0)


def test_segments_are_equally_long_so_that_answers_say_nothing_about_length() -> None:
    for length in (3, HORIZON):
        windows = cut(
            _episodes(length, fixed_horizon=HORIZON),
            steps=6,
            task_id="task",
            run_id="run",
            rng=np.random.default_rng(0),
        )
        assert windows
        assert {len(window.segment) for window in windows} == {6}
