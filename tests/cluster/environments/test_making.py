from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cluster.environments.fixed_horizon import DURATION, NOBODY, FixedHorizon
from cluster.environments.making import check_learnable, make, make_vector, task_of
from cluster.loop.settings.policy_check import check_policy
from cluster.runs.config import EnvironmentConfig, RunConfig
from hitl.errors import ConfigError
from tests.cluster.identities import SPACES
from tests.cluster.worlds import Diary

DIARY = "tests.cluster.worlds:Diary"


def _play(env: gym.Env[Any, Any], steps: int) -> list[tuple[Any, ...]]:
    return [env.step(1) for _ in range(steps)]


def test_an_early_end_is_followed_by_one_step_for_all_that_are_left() -> None:
    env = FixedHorizon(Diary(lengths=(3,)), 8)
    for _ in range(2):
        env.reset(seed=0)
        played = _play(env, 4)
        assert [truncated for _, _, _, truncated, _ in played] == [False] * 3 + [True]
        assert not any(terminated for _, _, terminated, _, _ in played)
        assert [info for *_, info in played] == [{}] * 3 + [{NOBODY: True, DURATION: 5}]


@pytest.mark.parametrize("truncates", [False, True])
def test_after_an_early_end_the_last_observation_is_held_without_reward(truncates: bool) -> None:
    env = FixedHorizon(Diary(lengths=(3,), truncates=truncates), 7)
    env.reset(seed=0)
    played = _play(env, 4)
    observations = [observation.tolist() for observation, *_ in played]
    assert [observation[2] for observation in observations] == [1, 2, 3, 3]
    assert observations[3] == observations[2]
    assert [reward for _, reward, *_ in played] == [2, 3, 4, 0]


def test_the_world_stands_still_after_an_early_end() -> None:
    world = Diary(lengths=(3,))
    env = FixedHorizon(world, 7)
    env.reset(seed=0)
    _play(env, 4)
    assert len(world.taken) == 3


def test_an_episode_that_outlasts_the_horizon_is_cut_there() -> None:
    env = FixedHorizon(Diary(lengths=(3,)), 2)
    env.reset(seed=0)
    assert [step[2:] for step in _play(env, 2)] == [(False, False, {}), (False, True, {})]


def test_an_end_at_the_horizon_is_a_cut_with_its_reward() -> None:
    env = FixedHorizon(Diary(lengths=(3,)), 3)
    env.reset(seed=0)
    _, reward, terminated, truncated, info = _play(env, 3)[-1]
    assert (reward, terminated, truncated, info) == (4, False, True, {})


def test_a_fixed_horizon_passes_the_seed_on() -> None:
    drawn = [FixedHorizon(Diary(), 9).reset(seed=seed)[0][0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == Diary().reset(seed=1)[0][0]


def test_the_run_file_sets_the_horizon() -> None:
    env = make(EnvironmentConfig(id=DIARY, fixed_horizon=9))
    assert isinstance(env, FixedHorizon)
    assert env.horizon == 9
    assert isinstance(make(EnvironmentConfig(id=DIARY)), Diary)


def test_a_fixed_horizon_takes_the_place_of_the_environments_time_limit() -> None:
    """Pendulum's own limit is 200 steps."""
    env = make(EnvironmentConfig(id="Pendulum-v1", fixed_horizon=230))
    env.reset(seed=0)
    played = [env.step(np.zeros(1, np.float32)) for _ in range(230)]
    assert not any(NOBODY in info for *_, info in played)
    assert [truncated for _, _, _, truncated, _ in played] == [False] * 229 + [True]


def test_environments_of_a_vector_are_apart() -> None:
    envs = make_vector(EnvironmentConfig(id=DIARY, kwargs={"lengths": (2,)}), 3)
    first = envs.reset(seed=1)
    assert len(set(first[:, 0])) == 3
    envs.step(np.zeros(3, np.int64))
    stepped = envs.step(np.zeros(3, np.int64))
    assert stepped.terminated_N.all()
    assert stepped.observation_NO[:, 2].tolist() == [0, 0, 0]
    assert [observation[2] for observation in stepped.final_observation_KO] == [2, 2, 2]


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("CartPole-v7", "CartPole-v"), ("Pendulun-v1", "Pendulum-v1")]
)
def test_an_unknown_id_is_refused_with_the_nearest_name(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"{wrong}.*Did you mean '{nearest}.*module:Class"):
        make(EnvironmentConfig(id=wrong))


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(ConfigError) as refused:
        make(EnvironmentConfig(id="qqqqqqqqqq"))
    assert "Did you mean" not in str(refused.value)


def test_an_environment_of_ones_own_is_imported_with_its_arguments() -> None:
    env = make(EnvironmentConfig(id=DIARY, kwargs={"lengths": [2]}))
    env.reset(seed=0)
    assert [terminated for _, _, terminated, _, _ in _play(env, 2)] == [False, True]


def test_an_environment_of_ones_own_may_lie_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handmade_world.py").write_text("from tests.cluster.worlds import Diary as Mine\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(make(EnvironmentConfig(id="handmade_world:Mine")), Diary)


@pytest.mark.parametrize(
    "wrong", ["no_such_module:World", "tests.cluster.worlds:NoSuchWorld", ":World", "tests.cluster.worlds:"]
)
def test_what_cannot_be_imported_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"environment\.id: cannot import.*PYTHONPATH"):
        make(EnvironmentConfig(id=wrong))


def test_a_module_that_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_world.py").write_text("raise RuntimeError('no display')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="cannot import World from failing_world: no display"):
        make(EnvironmentConfig(id="failing_world:World"))


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        (
            EnvironmentConfig(id="tests.cluster.worlds:Broken"),
            "cannot be made: the simulator is not installed",
        ),
        (EnvironmentConfig(id="CartPole-v1", kwargs={"colour": "red"}), "cannot be made"),
    ],
)
def test_an_environment_that_cannot_be_made_is_refused(
    environment: EnvironmentConfig, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make(environment)


@pytest.mark.parametrize("name", ["CartPole-v1", DIARY, "tests.cluster.worlds:Endless"])
def test_varying_lengths_are_refused_for_a_learned_reward(name: str) -> None:
    with pytest.raises(ConfigError, match=r"can end early.*fixed_horizon.*allow_variable_horizon"):
        check_learnable(EnvironmentConfig(id=name), learned_reward=True)


@pytest.mark.parametrize(
    ("learned_reward", "settings"),
    [(False, {}), (True, {"allow_variable_horizon": True}), (True, {"fixed_horizon": 50})],
    ids=["environment's reward", "allowed", "fixed horizon"],
)
def test_varying_lengths_are_accepted(learned_reward: bool, settings: dict[str, Any]) -> None:
    environment = EnvironmentConfig(id="CartPole-v1", **settings)
    assert isinstance(check_learnable(environment, learned_reward=learned_reward), gym.Env)


def test_an_environment_of_fixed_length_is_accepted() -> None:
    env = check_learnable(EnvironmentConfig(id="Pendulum-v1"), learned_reward=True)
    assert isinstance(env.action_space, gym.spaces.Box)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("tests.cluster.worlds:Words", "observations Text.* have no policy; Box, Discrete")],
)
def test_spaces_without_a_policy_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_learnable(EnvironmentConfig(id=name), learned_reward=False)


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.MultiDiscrete([2, 2], start=[0, 1]),
        gym.spaces.MultiDiscrete([[2, 2]]),
        gym.spaces.Discrete(2, start=1),
        gym.spaces.Box(-1, 1, (2, 2)),
        gym.spaces.MultiBinary(2),
    ],
    ids=str,
)
def test_actions_without_a_policy_are_refused(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Diary, "action_space", space)
    with pytest.raises(ConfigError, match="have no policy; Discrete and MultiDiscrete"):
        check_learnable(EnvironmentConfig(id=DIARY), learned_reward=False)


SEEN = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
CHOICES, CUBE = gym.spaces.Discrete(3), gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.mark.parametrize(
    ("kind", "policy", "complaint"),
    [
        ("image", {"filters": [[8, 9, 1]]}, r"policy.filters: convolution 1 has a kernel of 9"),
        (
            "dict",
            {"encoders": {"imag": "cnn"}},
            r"policy.encoders: the observation has no 'imag'; it has image",
        ),
        ("dict", {"encoders": {"number": "cnn"}}, r"cnn needs a Box with three axes"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(kind: str, policy: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_policy(SPACES[kind], RunConfig.model_validate({"policy": policy}))
    check_policy(SPACES[kind], RunConfig())


@pytest.mark.parametrize(
    ("space", "settings", "complaint"),
    [
        (
            CHOICES,
            {"stages": {"count": 1, "safe_action": 7}},
            r"stages\.safe_action: 7 is not in Discrete\(3\)",
        ),
        (CUBE, {"stages": {"count": 1, "safe_action": 0}}, r"stages\.safe_action: 0 is not in Box"),
        (CUBE, {"acting": {"kind": "action_biasing"}}, "mixture .* needs Discrete actions, not Box"),
        (CUBE, {"acting": {"kind": "control_sharing"}}, "mixture .* needs Discrete actions, not Box"),
        (
            CHOICES,
            {"imitation": {"expert": "nobody:Expert", "weight": 1.0}},
            "expert 'nobody:Expert': cannot import Expert from nobody",
        ),
    ],
)
def test_who_cannot_act_is_found_before_any_process_starts(
    space: Any, settings: dict[str, Any], complaint: str
) -> None:
    learned = {"reward": {"sources": {"environment": 0.0, "learned": 1.0}}}
    config = RunConfig.model_validate(learned | settings)
    with pytest.raises(ConfigError, match=complaint):
        check_policy((SEEN, space), config)
    check_policy((SEEN, CHOICES), RunConfig.model_validate(learned | {"stages": {"safe_action": 7}}))


def test_every_kind_of_space_is_accepted() -> None:
    for kind in SPACES:
        environment = EnvironmentConfig(id="tests.cluster.identities:Identity", kwargs={"kind": kind})
        check_learnable(environment, learned_reward=False)


def _task_id(**settings: Any) -> str:
    environment = EnvironmentConfig(**({"id": "CartPole-v1"} | settings))
    return task_of(environment, make(environment)).task_id


def test_equal_environments_are_one_task() -> None:
    assert _task_id() == _task_id(allow_variable_horizon=True)
    environment = EnvironmentConfig()
    task = task_of(environment, make(environment))
    assert task.name == "CartPole-v1"
    assert '"environment": "CartPole-v1"' in task.fingerprint


def test_different_environments_are_different_tasks() -> None:
    ids = [
        _task_id(),
        _task_id(fixed_horizon=200),
        _task_id(fixed_horizon=300),
        _task_id(id="Pendulum-v1"),
        _task_id(id="Pendulum-v1", kwargs={"g": 9.0}),
        _task_id(id=DIARY),
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("attribute", "space"),
    [
        ("action_space", gym.spaces.Discrete(4)),
        ("observation_space", gym.spaces.Box(-2, np.inf, (4,), np.float32)),
        ("observation_space", gym.spaces.Box(-np.inf, np.inf, (4,), np.float64)),
    ],
)
def test_other_spaces_are_another_task(attribute: str, space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _task_id(id=DIARY)
    monkeypatch.setattr(Diary, attribute, space)
    assert _task_id(id=DIARY) != before
