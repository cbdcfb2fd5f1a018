"""Stages that programs drive by a reward model, alone or beside a policy, over a real service."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.client.driving import DrivenStage
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError, Forbidden, InvalidRequest, NotFound, StaleEpoch
from hitl.policies import ActingKind, ActingSettings, SharedPolicy, SharedReward
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.settings import InputSettings
from hitl.stages import Act, Take
from tests.hitl.live import LiveRun, LiveService, eventually

SEEN = gym.spaces.Box(-100.0, 100.0, (1,), np.float32)
ACTIONS = gym.spaces.Discrete(4)
BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
IMAGE = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
SMALL = ((4, 3, 1),)


def policy(
    version: int,
    favourite: int,
    kind: ActingKind,
    *,
    preference: float = 50.0,
    inputs: InputSettings | None = None,
    weight: float = 1.0,
    **acting: Any,
) -> SharedPolicy:
    bias = np.where(np.arange(4) == favourite, preference, 0.0).astype(np.float32)
    weights = {
        "policy.0.weight": np.zeros((4, 1), np.float32),
        "policy.0.bias": bias,
        "log_scale": np.zeros(0, np.float32),
    }
    return SharedPolicy(
        version=version,
        weights=weights,
        network={"hidden": [], "activation": "tanh"},
        acting=ActingSettings(**{"kind": kind, "temperature": 0.0, **acting}),
        inputs=inputs or InputSettings(),
        reward_weight=weight,
    )


def reward(
    version: int, favourite: int, *, worth: float = 8.0, inputs: InputSettings | None = None
) -> SharedReward:
    """Expects so much for one action, and nothing for the others."""
    ensemble = RewardEnsemble(InputSpace.of(SEEN, ACTIONS, inputs), members=2, hidden=())
    with torch.no_grad():
        ensemble.weights[0].zero_()
        ensemble.weights[0][:, -4 + favourite] = worth
    return SharedReward(version=version, arrays=ensemble.to_arrays(), journal_end=10 * version)


def at(place: float) -> Any:
    return np.array([place], np.float32)


@contextmanager
def driven(live_run: LiveRun, *spaces: gym.Space[Any], **options: Any) -> Iterator[DrivenStage]:
    seen, actions = spaces or (SEEN, ACTIONS)
    with live_run.cluster.drive_stage(live_run.run, "robot", seen, actions, **options) as stage:
        stage.wait_for_policy(20)
        stage.begin(np.zeros(seen.shape or (), seen.dtype))
        yield stage


def test_a_program_acts_by_the_newest_reward_model(live_run: LiveRun) -> None:
    cluster, run = live_run.cluster, live_run.run
    cluster.publish_policy(run, policy(1, 2, "reward"))
    with driven(live_run) as robot:
        # Before there is a reward model all actions are equally good, whatever the policy wants.
        untaught = [robot.act() for _ in range(80)]
        assert {int(chosen.action) for chosen in untaught} == {0, 1, 2, 3}
        told = {(chosen.predicted_reward, chosen.reward_version, chosen.journal_end) for chosen in untaught}
        assert told == {(None, 0, 0)}
        for version, favourite in ((3, 1), (4, 3)):
            cluster.publish_reward_model(run, reward(version, favourite))
            eventually(lambda version=version: robot.act().reward_version == version)  # type: ignore[misc]
            assert {int(robot.act().action) for _ in range(20)} == {favourite}
            chosen = robot.act()
            # Measured from the mean of all four actions.
            assert chosen.predicted_reward == pytest.approx(8.0 - 2.0)
            assert (chosen.policy_version, chosen.journal_end) == (1, 10 * version)
        # An older one changes nothing.
        cluster.publish_reward_model(run, reward(2, 0))
        newest = cluster.get_reward_model(live_run.run_id)
        assert newest is not None
        assert (newest.version, newest.journal_end) == (4, 40)
        wait = timedelta(seconds=0.1)
        assert cluster.get_reward_model(live_run.run_id, newer_than=4, wait=wait) is None


def test_who_comes_late_never_acts_by_chance(live_run: LiveRun) -> None:
    live_run.cluster.publish_reward_model(live_run.run, reward(3, 1))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, "reward"))
    with driven(live_run) as robot:
        assert (int(robot.act().action), robot.reward_version) == (1, 3)


def test_a_program_with_a_temperature_tries_other_actions(live_run: LiveRun) -> None:
    live_run.cluster.publish_reward_model(live_run.run, reward(3, 1, worth=1.0))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, "reward", temperature=1.0))
    with driven(live_run) as robot:
        share = np.mean([int(robot.act().action) == 1 for _ in range(600)])
        # exp(1) / (exp(1) + 3) is 0.48.
        assert 0.38 < share < 0.58


@pytest.mark.parametrize("kind", ["action_biasing", "control_sharing"])
def test_a_mixture_acts_by_both_and_its_weight_follows_the_run(live_run: LiveRun, kind: ActingKind) -> None:
    cluster, run = live_run.cluster, live_run.run
    cluster.publish_reward_model(run, reward(3, 1, worth=100.0))
    cluster.publish_policy(run, policy(1, 2, kind, weight=1.0))
    with driven(live_run) as robot:
        assert {int(robot.act().action) for _ in range(20)} == {1}
        # What people are expected to say itself, for it stands beside a policy's preferences.
        assert robot.act().predicted_reward == pytest.approx(100.0)
        cluster.publish_policy(run, policy(2, 2, kind, weight=0.0))
        eventually(lambda: robot.act().policy_version == 2)
        assert {int(robot.act().action) for _ in range(20)} == {2}
        assert robot.act().predicted_reward == pytest.approx(0.0)
        cluster.publish_policy(run, policy(3, 0, kind, weight=0.5, preference=10.0))
        eventually(lambda: robot.act().policy_version == 3)
        share = np.mean([int(robot.act().action) == 1 for _ in range(300)])
        assert share == 1.0 if kind == "action_biasing" else 0.35 < share < 0.65


def test_people_see_what_is_expected_of_them(service: LiveService, live_run: LiveRun) -> None:
    """A policy acts; a reward model is learnt beside it."""
    live_run.cluster.publish_reward_model(live_run.run, reward(3, 1))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, "policy"))
    with (
        driven(live_run) as robot,
        service.teacher("ann") as ann,
        ann.watch(live_run.run_id, "robot", steps=True) as watch,
    ):

        def next_step() -> Any:
            robot.act()
            robot.step(at(7))
            return next(frame.shown.step for frame in watch if frame.shown.step)

        eventually(lambda: robot.watchers == 1)
        step = next_step()
        assert (int(step.action), step.predicted_reward) == (2, pytest.approx(0.0))
        assert (step.policy_version, step.reward_version, step.journal_end) == (1, 3, 30)
        ann.control(live_run.run_id, "robot", Take())
        ann.control(live_run.run_id, "robot", Act(np.array(1)))
        eventually(lambda: robot.act().teacher_id == "ann")
        # Of what is done, whoever does it.
        assert robot.act().predicted_reward == pytest.approx(8.0)


def test_continuous_actions_are_drawn_to_choose_from(live_run: LiveRun) -> None:
    ensemble = RewardEnsemble(InputSpace.of(SEEN, BOX), members=1, hidden=())
    with torch.no_grad():
        ensemble.weights[0].zero_()
        ensemble.weights[0][:, -2] = 5.0
    weights = {
        "policy.0.weight": np.zeros((2, 1), np.float32),
        "policy.0.bias": np.zeros(2, np.float32),
        "log_scale": np.zeros(2, np.float32),
    }
    shared = SharedPolicy(
        version=1,
        weights=weights,
        network={"hidden": []},
        acting=ActingSettings(kind="reward", temperature=0.0, candidates=500),
        inputs=InputSettings(),
    )
    live_run.cluster.publish_reward_model(live_run.run, SharedReward(version=1, arrays=ensemble.to_arrays()))
    live_run.cluster.publish_policy(live_run.run, shared)
    with driven(live_run, SEEN, BOX) as robot:
        chosen = [robot.act().action for _ in range(20)]
        # Of 500 uniform draws the best is almost always above 0.9; of 64 one in 28 times not.
        assert min(action[0] for action in chosen) > 0.9
        assert np.std([action[1] for action in chosen]) > 0.1


def after_each(observation_NO: Any) -> Any:
    """Features of each action: where it is, and one that only the last has."""
    place_NA = np.repeat(observation_NO[:, :1], 4, 1)
    return np.stack([place_NA, np.arange(4) == 3 + 0 * place_NA], 2).astype(np.float32)


def test_the_features_of_a_task_are_imported(live_run: LiveRun) -> None:
    inputs = InputSettings(features=f"{__name__}:after_each")
    ensemble = RewardEnsemble(InputSpace.of(SEEN, ACTIONS, inputs), members=1, hidden=())
    with torch.no_grad():
        ensemble.weights[0][:] = torch.tensor([[[0.0], [6.0]]])
    live_run.cluster.publish_reward_model(live_run.run, SharedReward(version=1, arrays=ensemble.to_arrays()))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, "reward", inputs=inputs))
    with driven(live_run) as robot:
        assert {int(robot.act().action) for _ in range(20)} == {3}


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_features_that_are_not_here_are_named(live_run: LiveRun, kind: ActingKind) -> None:
    inputs = InputSettings(features="lessons_of_another_machine:after_each")
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, kind, inputs=inputs))
    with (
        live_run.cluster.drive_stage(live_run.run, "robot", SEEN, ACTIONS) as stage,
        pytest.raises(ConfigError, match=r"lessons_of_another_machine.*PYTHONPATH"),
    ):
        stage.wait_for_policy(20)


def wider(observation_NO: Any) -> Any:
    return np.zeros((len(observation_NO), 4, 9), np.float32)


@pytest.mark.parametrize("kind", ["policy", "reward"])
@pytest.mark.parametrize("fault", ["features", "missing", "members", "none"])
def test_a_reward_model_that_does_not_fit_is_refused(live_run: LiveRun, kind: ActingKind, fault: str) -> None:
    inputs = InputSettings(features=f"{__name__}:wider") if fault == "features" else InputSettings()
    arrays: dict[str, Any] = dict(reward(1, 1).arrays)
    if fault == "missing":
        del arrays["gauge_mean_K"]
    elif fault == "members":
        arrays["biases.0"] = np.zeros((3, 1, 1), np.float32)
    elif fault == "none":
        arrays = {name: value for name, value in arrays.items() if "." not in name}
    live_run.cluster.publish_reward_model(live_run.run, SharedReward(version=1, arrays=arrays))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, kind, inputs=inputs))
    with (
        live_run.cluster.drive_stage(live_run.run, "robot", SEEN, ACTIONS) as stage,
        pytest.raises(ValueError, match=r"the reward model of run .* does not fit"),
    ):
        stage.wait_for_policy(20)


@pytest.mark.parametrize(
    ("seen", "actions"),
    # As many inputs of the reward model in sum, and other ones.
    [(gym.spaces.Box(-1.0, 1.0, (3,), np.float32), gym.spaces.Discrete(2)), (SEEN, gym.spaces.Discrete(5))],
)
def test_a_stage_for_another_task_is_refused(
    live_run: LiveRun, seen: gym.Space[Any], actions: gym.Space[Any]
) -> None:
    live_run.cluster.publish_reward_model(live_run.run, reward(1, 1))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, "reward"))
    with (
        live_run.cluster.drive_stage(live_run.run, "robot", seen, actions) as stage,
        pytest.raises(ValueError, match=r"the policy of run .* does not fit"),
    ):
        stage.wait_for_policy(20)


def test_a_reward_model_is_given_by_the_newest_driver_and_to_the_cluster_alone(
    service: LiveService, live_run: LiveRun
) -> None:
    with pytest.raises(NotFound):
        live_run.cluster.get_reward_model("no such run")
    with pytest.raises(InvalidRequest, match="there are none"):
        live_run.cluster.publish_reward_model(live_run.run, SharedReward(version=1, arrays={}))
    live_run.cluster.open_run(live_run.run_id, live_run.run.task_id)
    with pytest.raises(StaleEpoch):
        live_run.cluster.publish_reward_model(live_run.run, reward(1, 0))
    with (
        TrainingClient(service.address, service.token("teacher")) as stranger,
        pytest.raises(Forbidden),
    ):
        stranger.get_reward_model(live_run.run_id)


def test_a_reward_model_that_sees_images_acts(live_run: LiveRun) -> None:
    from policies.networks import ActorCritic

    inputs = InputSettings(filters=SMALL, image_features=5)
    ensemble = RewardEnsemble(InputSpace.of(IMAGE, ACTIONS, inputs), members=1, hidden=())
    with torch.no_grad():
        ensemble.weights[0].zero_()
        ensemble.weights[0][:, -1] = 5.0
    network = {"hidden": [4], "filters": [list(layer) for layer in SMALL]}
    state = ActorCritic(IMAGE, ACTIONS, **network).state_dict()
    shared = SharedPolicy(
        version=1,
        weights={name: value.numpy() for name, value in state.items()},
        network=network,
        acting=ActingSettings(kind="reward", temperature=0.0),
        inputs=inputs,
    )
    live_run.cluster.publish_reward_model(live_run.run, SharedReward(version=1, arrays=ensemble.to_arrays()))
    live_run.cluster.publish_policy(live_run.run, shared)
    with driven(live_run, IMAGE, ACTIONS) as robot:
        assert {int(robot.act().action) for _ in range(5)} == {3}


_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import gymnasium as gym
import numpy as np
from hitl.client.training import TrainingClient

address, token, run_id = sys.argv[1:]
spaces = gym.spaces.Box(-100.0, 100.0, (1,), np.float32), gym.spaces.Discrete(4)
with TrainingClient(address, token) as client:
    with client.drive_stage(client.get_run(run_id), "robot", *spaces) as stage:
        stage.wait_for_policy()
        stage.begin(np.zeros(1, np.float32))
        chosen = stage.act()
        print(int(chosen.action), chosen.predicted_reward, chosen.reward_version)
"""


@pytest.mark.parametrize(
    ("kind", "said"), [("policy", "2 0.0 3"), ("reward", "1 75.0 3"), ("action_biasing", "1 100.0 3")]
)
def test_small_networks_act_without_torch(
    service: LiveService, live_run: LiveRun, kind: ActingKind, said: str
) -> None:
    live_run.cluster.publish_reward_model(live_run.run, reward(3, 1, worth=100.0))
    live_run.cluster.publish_policy(live_run.run, policy(1, 2, kind))
    program = [sys.executable, "-c", _WITHOUT_TORCH, service.address, service.token("cluster", "robot")]
    done = subprocess.run([*program, live_run.run_id], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == said, done.stderr
