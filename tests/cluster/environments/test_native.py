"""Gymnasium's vector entry points, against single environments that take the recorded actions."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from cluster.environments.making import check_learnable, make, make_vector
from cluster.environments.native import NativeEnvironments
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import evaluate
from cluster.loop.rollouts.collector import Collected, Collector
from cluster.runs.config import EnvironmentConfig, RunConfig
from hitl.errors import ConfigError
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic
from policies.spaces import flat_dtype
from tests.cluster.dice import Dice
from tests.cluster.identities import SPACES, Identity

COLUMNS, STEPS, ROLLOUTS, SEED = 4, 35, 3, 7


def _environment(**settings: Any) -> EnvironmentConfig:
    return EnvironmentConfig(id="CartPole-v1", vectorised=True, **settings)


def _gather(environment: EnvironmentConfig) -> list[Collected]:
    envs = make_vector(environment, COLUMNS)
    assert isinstance(envs, NativeEnvironments)
    collector = Collector(envs, Dice(actions=2), source="r", seed=SEED, share_reward=True)
    return [collector.collect(STEPS, policy_version=0) for _ in range(ROLLOUTS)]


class _Starts:
    """The states that the vector starts episodes in, drawn again from its seed."""

    def __init__(self) -> None:
        (seed,) = np.random.SeedSequence(SEED).generate_state(1)
        self._generator, _ = gym.utils.seeding.np_random(int(seed))

    def draw(self, count: int) -> Any:
        return self._generator.uniform(-0.05, 0.05, (4, count)).T


def _final(rollout: Rollout) -> dict[int, Any]:
    return dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))


def _started(environment: EnvironmentConfig, state: Any) -> Any:
    env = make(environment)
    env.reset(seed=0)
    env.unwrapped.state = state  # type: ignore[attr-defined]
    return env


@pytest.mark.parametrize(
    ("settings", "truncates"),
    [({}, False), ({"kwargs": {"max_episode_steps": 13}}, True), ({"fixed_horizon": 13}, True)],
    ids=["until it falls", "own limit", "fixed horizon"],
)
def test_rollouts_are_what_single_environments_play(settings: dict[str, Any], truncates: bool) -> None:
    """Each column by hand; where an episode is over, one more row passes in which nobody acts."""
    environment, starts = _environment(**settings), _Starts()
    horizon = environment.fixed_horizon
    envs = [_started(environment, state) for state in starts.draw(COLUMNS)]
    over, played = [False] * COLUMNS, [0] * COLUMNS
    ends = {"terminated": 0, "truncated": 0, "early": 0}
    current = [np.array(env.unwrapped.state, np.float32) for env in envs]
    for collected in _gather(environment):
        rollout, final = collected.rollout, _final(collected.rollout)
        for t in range(STEPS):
            resetting = [n for n in range(COLUMNS) if over[n]]
            fresh = dict(zip(resetting, starts.draw(len(resetting)), strict=True))
            for n in range(COLUMNS):
                np.testing.assert_allclose(rollout.observation_TNO[t, n], current[n], rtol=1e-5, atol=1e-6)
                ended = (rollout.terminated_TN[t, n], rollout.truncated_TN[t, n])
                row = (rollout.duration_TN[t, n], rollout.actor_TN[t, n], collected.true_reward_TN[t, n])
                if over[n]:
                    left = horizon - played[n] if horizon else 0
                    ends["early"] += left > 0
                    assert (*row, *ended) == (left, Actor.NOBODY, 0, False, True)
                    np.testing.assert_allclose(final.pop(t * COLUMNS + n), current[n], rtol=1e-5, atol=1e-6)
                    envs[n], over[n], played[n] = _started(environment, fresh[n]), False, 0
                    current[n] = np.array(fresh[n], np.float32)
                    continue
                # A wrapper with a horizon starts its own idle row by itself; the world below has no such thing.
                inner = envs[n].env if horizon else envs[n]
                current[n], reward, terminated, truncated, _ = inner.step(rollout.action_TNA[t, n])
                played[n] += 1
                over[n] = terminated or truncated or played[n] == horizon
                if horizon:
                    terminated, truncated = False, played[n] == horizon
                assert (*row, *ended) == (1, Actor.POLICY, reward, terminated, truncated)
                ends["terminated"] += terminated
                ends["truncated"] += truncated
                if terminated or truncated:
                    np.testing.assert_allclose(final.pop(t * COLUMNS + n), current[n], rtol=1e-5, atol=1e-6)
        assert not final
    assert (ends["terminated"] > 3) == (not horizon)
    assert (ends["truncated"] > 3) == truncates
    assert (ends["early"] > 3) == bool(horizon)


@pytest.mark.parametrize("horizon", [None, 13])
def test_episodes_are_counted_once(horizon: int | None) -> None:
    gathered = _gather(_environment(fixed_horizon=horizon))
    episodes = [episode for collected in gathered for episode in collected.episodes]
    assert len(episodes) > 10
    if horizon:
        assert {episode.steps for episode in episodes} == {13}
        assert len({episode.true_return for episode in episodes}) > 1
    else:
        assert all(episode.true_return == episode.steps for episode in episodes)
    places = [
        place
        for c in gathered
        for place in zip(
            c.rollout.episode_TN.ravel().tolist(), c.rollout.step_TN.ravel().tolist(), strict=True
        )
    ]
    assert len(set(places)) == len(places) == COLUMNS * STEPS * ROLLOUTS


def test_a_vector_follows_from_its_seed() -> None:
    first, again = (_gather(_environment())[-1].rollout for _ in range(2))
    np.testing.assert_array_equal(first.observation_TNO, again.observation_TNO)


class Pile(gym.vector.VectorEnv[Any, Any, Any]):
    """Goes on and on, writes each observation over the last one, and resets as it is told."""

    def __init__(self, num_envs: int, mode: str = "NextStep", max_episode_steps: int | None = None) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode(mode)}
        self.single_observation_space = gym.spaces.Box(-1, 1, (2, 1))
        self.single_action_space = gym.spaces.Discrete(2)
        self._shown = np.zeros((num_envs, 2, 1), np.float32)
        self._none = np.zeros(num_envs, bool)

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        return self._shown, {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._shown += 1
        return self._shown, np.zeros(self.num_envs), self._none, self._none, {}


def test_a_vector_that_writes_over_its_observations_does_no_harm() -> None:
    envs = NativeEnvironments(Pile(3))
    first = envs.reset(0)
    second = envs.step(np.zeros(3, np.int64)).observation_NO
    assert (first.tolist(), second.tolist()) == ([[0, 0]] * 3, [[1, 1]] * 3)
    assert second.dtype == np.float32


def test_a_vector_without_a_limit_has_no_fixed_horizon() -> None:
    envs = NativeEnvironments(Pile(3), horizon=2)
    envs.reset(0)
    envs.step(np.zeros(3, np.int64))
    with pytest.raises(ConfigError, match="no heed to max_episode_steps"):
        envs.step(np.zeros(3, np.int64))


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_another_way_to_reset_is_refused(mode: str) -> None:
    with pytest.raises(ConfigError, match=r"environment\.vectorised.*only NEXT_STEP"):
        NativeEnvironments(Pile(3, mode))


# Of a vector that was never whole, gymnasium's own end complains.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"id": "Pendulum-v1"}, "no vector entry point for Pendulum-v1"),
        ({"id": "tests.cluster.worlds:Diary"}, "no vector entry point for tests"),
        ({"id": "CartPole-v7"}, "Did you mean"),
        ({"kwargs": {"colour": "red"}}, "cannot be made"),
    ],
)
def test_what_cannot_be_stepped_at_once_is_refused(settings: dict[str, Any], complaint: str) -> None:
    environment = EnvironmentConfig(**({"id": "CartPole-v1", "vectorised": True} | settings))
    with pytest.raises(ConfigError, match=complaint):
        make_vector(environment, 2)
    with pytest.raises(ConfigError, match=complaint):
        check_learnable(environment, learned_reward=False)


def test_greedy_episodes_are_worth_the_same() -> None:
    """Each pole is pushed to one side until it falls, after 8 to 11 steps."""
    network = ActorCritic(make(_environment()).observation_space, gym.spaces.Discrete(2), hidden=(4,))
    with torch.no_grad():
        network.policy[-1].bias.copy_(torch.tensor([9.0, 0.0]))
    for environment in (_environment(), _environment(fixed_horizon=30)):
        returns = evaluate(network, environment, episodes=6, seed=0)
        assert len(returns) == 6
        assert set(returns) <= {8.0, 9.0, 10.0, 11.0}


@pytest.mark.parametrize("vectorised", [False, True])
def test_the_run_file_reaches_the_env_runners(vectorised: bool) -> None:
    run = RunConfig(environment=_environment(fixed_horizon=9).model_copy(update={"vectorised": vectorised}))
    assert HITLConfig.from_run(run).environment_config == run.environment


@pytest.mark.parametrize("kind", SPACES)
def test_observations_of_every_space_are_laid_flat(kind: str) -> None:
    """Against single environments with the same seeds."""
    single = [Identity(kind) for _ in range(3)]
    native = NativeEnvironments(gym.vector.SyncVectorEnv([lambda: Identity(kind)] * 3))
    shown = native.reset(7)
    (seed,) = np.random.SeedSequence(7).generate_state(1)
    space, action_space = SPACES[kind]
    expected = [spaces.flatten(space, env.reset(seed=int(seed) + n)[0]) for n, env in enumerate(single)]
    np.testing.assert_array_equal(shown, np.stack(expected))
    action_space.seed(0)
    action = np.stack([np.asarray(action_space.sample()) for _ in single])
    stepped = [env.step(one) for env, one in zip(single, action, strict=True)]
    together = native.step(action)
    expected = [spaces.flatten(space, observation) for observation, *_ in stepped]
    np.testing.assert_array_equal(together.observation_NO, np.stack(expected).astype(flat_dtype(space)))
    np.testing.assert_allclose(together.reward_N, [reward for _, reward, *_ in stepped])
    assert together.observation_NO.dtype == flat_dtype(space)
