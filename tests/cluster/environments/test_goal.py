"""What environments say of their goal: the same whichever way they are stepped, and whatever hides their ends."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cluster.environments.fixed_horizon import FixedHorizon
from cluster.environments.goal import GoalTelling
from cluster.environments.making import check_learnable, make, make_vector
from cluster.environments.native import NativeEnvironments
from cluster.environments.vector import VectorEnvironment
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import Goal
from hitl.errors import ConfigError
from policies.experience import Actor, Outcome, Rollout
from tests.cluster.dice import Dice
from tests.cluster.ledge import END, Ledge

COLUMNS, STEPS, SEED = 4, 60, 3


def ledge(**settings: Any) -> EnvironmentConfig:
    return EnvironmentConfig(id="tests.cluster.ledge:Ledge", **settings)


def gathered(envs: VectorEnvironment, *, share: bool = True) -> Rollout:
    collector = Collector(
        envs, Dice(actions=2), source="r", seed=SEED, share_reward=False, share_outcome=share
    )
    rollout = collector.collect(STEPS, policy_version=0).rollout
    envs.close()
    return rollout


def expected(rollout: Rollout, goal: Goal) -> np.ndarray:
    """By the places alone: what followed each step."""
    final = dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))
    outcome_TN = np.zeros(rollout.actor_TN.shape, np.uint8)
    for t, n in np.ndindex(*outcome_TN.shape):
        if rollout.actor_TN[t, n] == Actor.NOBODY:
            continue
        (place,) = final.get(t * COLUMNS + n, rollout.observation_TNO[t + 1, n])
        if place in (-1, END):
            reached = goal == "terminated" or place == END
            outcome_TN[t, n] = Outcome.REACHED if reached else Outcome.FAILED
    return outcome_TN


@pytest.mark.parametrize("goal", ["terminated", "is_success"])
@pytest.mark.parametrize("fixed_horizon", [None, 12, 1])
@pytest.mark.parametrize("isolated", [False, True])
def test_a_step_tells_of_the_goal_also_where_a_horizon_hides_the_end(
    goal: Goal, fixed_horizon: int | None, isolated: bool
) -> None:
    environment = ledge(fixed_horizon=fixed_horizon, isolated=isolated)
    rollout = gathered(make_vector(environment, COLUMNS, goal=goal))
    assert rollout.outcome_TN is not None
    np.testing.assert_array_equal(rollout.outcome_TN, expected(rollout, goal))
    assert (rollout.outcome_TN == Outcome.REACHED).sum() > 3
    assert (rollout.outcome_TN == Outcome.FAILED).any() == (goal == "is_success")
    assert (fixed_horizon is None) == rollout.terminated_TN.any()


def test_a_goal_may_be_reached_where_the_episode_goes_on() -> None:
    """And a cut is no failure: the goal may still have been reached."""
    environment = ledge(kwargs={"ends": False, "limit": 20})
    rollout = gathered(make_vector(environment, COLUMNS, goal="is_success"))
    assert rollout.outcome_TN is not None
    np.testing.assert_array_equal(rollout.outcome_TN, expected(rollout, "is_success"))
    assert (rollout.outcome_TN[~rollout.terminated_TN] == Outcome.REACHED).any()
    cut = rollout.outcome_TN[rollout.truncated_TN & ~rollout.terminated_TN]
    assert Outcome.FAILED not in cut
    assert len(cut) > 2


def test_where_the_run_names_no_goal_nothing_is_told() -> None:
    for envs in (make_vector(ledge(), COLUMNS), make_vector(ledge(isolated=True), COLUMNS)):
        rollout = gathered(envs)
        assert rollout.outcome_TN is not None
        assert not rollout.outcome_TN.any()
    assert gathered(make_vector(ledge(), COLUMNS, goal="terminated"), share=False).outcome_TN is None
    assert isinstance(make(ledge()), Ledge)


def test_the_goal_is_told_by_what_lies_inside_of_the_horizon() -> None:
    env = make(ledge(fixed_horizon=5), goal="terminated")
    assert isinstance(env, FixedHorizon)
    assert isinstance(env.env, GoalTelling)


class Ledges(gym.vector.VectorEnv[Any, Any, Any]):
    """Several as one program; a row in which one resets itself says what came before."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, count: int, limit: int | None) -> None:
        self.num_envs, self._limit = count, limit
        self._envs = [Ledge() for _ in range(count)]
        self.single_observation_space, self.single_action_space = Ledge.observation_space, Ledge.action_space

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._over, self._steps = [False] * self.num_envs, [0] * self.num_envs
        seen = [env.reset(seed=seed + n)[0] for n, env in enumerate(self._envs)]
        return np.stack(seen), {}

    def step(self, actions: Any) -> Any:
        seen, terminated, truncated, success = [], [], [], []
        for n, env in enumerate(self._envs):
            if self._over[n]:
                row = (env.reset()[0], False, False, True)
                self._steps[n] = 0
            else:
                observation, _, ended, _, info = env.step(actions[n])
                self._steps[n] += 1
                row = (observation, ended, self._steps[n] == self._limit, bool(info["is_success"]))
            for kept, part in zip((seen, terminated, truncated, success), row, strict=True):
                kept.append(part)
        self._over = [a or b for a, b in zip(terminated, truncated, strict=True)]
        numbers = np.zeros(self.num_envs, np.float32)
        infos = {"is_success": np.array(success), "_is_success": np.ones(self.num_envs, bool)}
        return np.stack(seen), numbers, np.array(terminated), np.array(truncated), infos


@pytest.fixture(params=[None, 12])
def horizon(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("goal", ["terminated", "is_success", "none"])
def test_a_vector_tells_of_the_goal_and_not_where_it_resets_itself(goal: Goal, horizon: int | None) -> None:
    envs = NativeEnvironments(Ledges(COLUMNS, horizon), horizon=horizon, goal=goal)
    rollout = gathered(envs)
    assert rollout.outcome_TN is not None
    if goal == "none":
        assert not rollout.outcome_TN.any()
        return
    np.testing.assert_array_equal(rollout.outcome_TN, expected(rollout, goal))
    assert (rollout.outcome_TN == Outcome.REACHED).sum() > 3


def test_the_vectors_of_a_run_file_know_the_goal() -> None:
    environment = EnvironmentConfig(id="CartPole-v1", vectorised=True, fixed_horizon=50)
    rollout = gathered(make_vector(environment, COLUMNS, goal="terminated"))
    assert rollout.outcome_TN is not None
    early = np.argwhere((rollout.actor_TN == Actor.NOBODY) & (rollout.duration_TN > 0))
    assert len(early) > 2
    ends = {(int(t), int(n)) for t, n in np.argwhere(rollout.outcome_TN == Outcome.REACHED)}
    assert {(int(t) - 1, int(n)) for t, n in early if t > 0} <= ends


def test_an_environment_that_never_says_whether_it_is_reached_is_refused() -> None:
    silent = ledge(kwargs={"says": False}, fixed_horizon=30)
    with pytest.raises(ConfigError, match=r"imitation.help.goal.*is_success"):
        check_learnable(silent, learned_reward=False, goal="is_success")
    goals: tuple[Goal, ...] = ("terminated", "none")
    for goal in goals:
        check_learnable(silent, learned_reward=False, goal=goal)
    check_learnable(ledge(), learned_reward=False, goal="is_success")
