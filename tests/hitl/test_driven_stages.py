"""Stages that programs outside of the cluster drive, over a real service."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from hitl.client.driving import DrivenStage
from hitl.client.training import TrainingClient
from hitl.errors import Forbidden, InvalidRequest, NotFound, RequestError, StaleEpoch, Unavailable
from hitl.events import Correction, Task
from hitl.policies import SharedPolicy
from hitl.stages import Act, Pause, Release, Reset, Resume, StageState, Stop, Take
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import FOUR_ACTIONS
from tests.hitl.relabels import ask
from tests.hitl.test_journal import entries_of

SEEN = gym.spaces.Box(-100.0, 100.0, (1,), np.float32)
ACTIONS = gym.spaces.Discrete(4)


def policy(version: int, favourite: int) -> SharedPolicy:
    """Does one thing, whatever it sees."""
    bias = np.where(np.arange(4) == favourite, 50.0, 0.0).astype(np.float32)
    weights = {
        "policy.0.weight": np.zeros((4, 1), np.float32),
        "policy.0.bias": bias,
        "log_scale": np.zeros(0, np.float32),
    }
    return SharedPolicy(version=version, weights=weights, network={"hidden": [], "activation": "tanh"})


def at(place: float) -> Any:
    return np.array([place], np.float32)


@pytest.fixture
def robot(live_run: LiveRun) -> Iterator[DrivenStage]:
    with live_run.cluster.drive_stage(live_run.run, "robot", SEEN, ACTIONS, safe_action=3) as stage:
        live_run.cluster.publish_policy(live_run.run, policy(5, favourite=2))
        stage.wait_for_policy(20)
        stage.begin(at(0))
        yield stage


def step(robot: DrivenStage, place: float = 1.0, **options: Any) -> int:
    action = int(robot.act().action)
    robot.step(at(place), **options)
    return action


def test_a_program_acts_by_the_newest_policy(live_run: LiveRun, robot: DrivenStage) -> None:
    chosen = robot.act()
    assert (int(chosen.action), chosen.policy_version, chosen.teacher_id) == (2, 5, "")
    robot.step(at(1))
    live_run.cluster.publish_policy(live_run.run, policy(6, favourite=1))
    eventually(lambda: robot.act().policy_version == 6)
    assert int(robot.act().action) == 1
    # An older one changes nothing.
    live_run.cluster.publish_policy(live_run.run, policy(4, favourite=0))
    newest = live_run.cluster.get_policy(live_run.run_id)
    assert newest is not None
    assert newest.version == 6
    assert live_run.cluster.get_policy(live_run.run_id, newer_than=6, wait=timedelta(seconds=0.1)) is None


def test_people_watch_a_program_and_what_they_say_is_kept_with_its_steps(
    service: LiveService, live_run: LiveRun, robot: DrivenStage
) -> None:
    with service.teacher("ann") as ann, ann.watch(live_run.run_id, "robot", steps=True) as watch:
        eventually(lambda: robot.watchers == 1)
        step(robot, 7.0, true_reward=1.0, image=b"picture", image_type="image/jpeg")
        frame = watch.next(20)
        while frame is not None and frame.shown.step is None:
            frame = watch.next(20)
        assert frame is not None
        assert frame.shown.step is not None
        assert frame.shown.observations["obs"].tolist() == [7.0]
        assert (int(frame.shown.step.action), frame.shown.step.policy_version) == (2, 5)
        assert (frame.shown.image, frame.shown.image_type) == (b"picture", "image/jpeg")
        # What people would do is said of the state on show, so of the step after it.
        frame.correct(np.array(1))
        step(robot)
    (entry,) = entries_of(live_run.cluster, live_run.run_id, 1)
    assert isinstance(entry.event, Correction)
    (segment,) = live_run.cluster.get_segments(live_run.run_id, list(entry.segment_ids))
    assert segment.observations["obs"].tolist() == [[7.0]]
    assert segment.actions.tolist() == [1]


def test_a_program_without_rewards_of_its_own_says_none(
    service: LiveService, live_run: LiveRun, robot: DrivenStage
) -> None:
    with (
        service.teacher("ann", "oracle") as ann,
        ann.watch(live_run.run_id, "robot", steps=True) as watch,
    ):
        eventually(lambda: robot.watchers == 1)
        for place, rewards in ((1.0, {}), (2.0, {"true_reward": None}), (3.0, {"true_reward": 0.0})):
            step(robot, place, **rewards)
            frame = watch.next(20)
            while frame is not None and frame.shown.observations["obs"].tolist() != [place]:
                frame = watch.next(20)
            assert frame is not None
            assert frame.shown.step is not None
            assert frame.shown.step.true_reward == (0.0 if place == 3.0 else None)


def test_true_rewards_are_kept_where_every_step_has_one(service: LiveService, live_run: LiveRun) -> None:
    live_run.cluster.publish_policy(live_run.run, policy(5, favourite=2))
    with live_run.cluster.drive_stage(live_run.run, "paid", SEEN, ACTIONS) as stage:
        stage.wait_for_policy(20)
        for episode in ((None, None), (0.0, None), (0.0, -2.5)):
            stage.begin(at(0))
            for reward in episode:
                step(stage, true_reward=reward)
    for first in (1, 4, 7):
        ask(live_run, f"about {first}", segment_id=f"paid/{first}", step=0)
    with service.teacher("ann", "oracle") as ann:
        leased = {one.question_id: one for one in ann.lease(live_run.run_id, max_questions=3)}
    assert leased["about 1"].true_rewards is None
    assert leased["about 4"].true_rewards is None
    (kept,) = leased["about 7"].true_rewards or ()
    assert kept.tolist() == [0.0, -2.5]


def test_the_controls_are_the_peoples(service: LiveService, live_run: LiveRun, robot: DrivenStage) -> None:
    with service.teacher("ann") as ann:

        def control(what: Any) -> None:
            ann.control(live_run.run_id, "robot", what)

        control(Take())
        control(Act(np.array(1)))
        eventually(lambda: robot.act().teacher_id == "ann")
        assert int(robot.act().action) == 1
        control(Stop())
        eventually(lambda: robot.act().safe_stop)
        assert int(robot.act().action) == 3
        control(Resume())
        eventually(lambda: not robot.act().safe_stop)
        control(Release())
        eventually(lambda: robot.act().teacher_id == "")
        with ann.watch(live_run.run_id, "robot") as watch:
            control(Pause())
            eventually(lambda: robot.stands_still)
            # Everybody is told before there is another step; the pace is the program's.
            eventually(lambda: watch.state == StageState(paused=True))
            control(Stop())
            eventually(
                lambda: not robot.wants_reset and watch.state == StageState(paused=True, safe_stop=True)
            )
            step(robot)
            eventually(lambda: watch.next(0.1) is not None)
            assert watch.state == StageState(paused=True, safe_stop=True)
            control(Resume())
            eventually(lambda: not robot.stands_still and watch.state == StageState())
        eventually(lambda: not robot.stands_still)
        control(Reset())
        eventually(lambda: robot.wants_reset)
        robot.begin(at(0))
        assert not robot.wants_reset


@pytest.mark.parametrize("name", ["stage-0", "stage-17"])
def test_the_names_of_the_clusters_own_stages_are_refused(live_run: LiveRun, name: str) -> None:
    with live_run.cluster.play_stage(live_run.run, name, FOUR_ACTIONS, is_own=True) as own:
        with pytest.raises(
            InvalidRequest, match=f"{name} is a name of the cluster's own stages; choose another"
        ):
            live_run.cluster.drive_stage(live_run.run, name, SEEN, ACTIONS)
        with pytest.raises(InvalidRequest, match="cluster's own stages"):
            live_run.cluster.play_stage(live_run.run, name, FOUR_ACTIONS)
        # A later life of it takes its place.
        with (
            live_run.cluster.play_stage(live_run.run, name, FOUR_ACTIONS, is_own=True),
            pytest.raises(StaleEpoch, match="opened by somebody else"),
        ):
            eventually(lambda: bool(list(own.commands())))
    for free in ("stage", "stage-", "stage-0b", "my-stage-0", "stage-one"):
        live_run.cluster.play_stage(live_run.run, free, FOUR_ACTIONS).close()


def test_what_cannot_be_is_said_to_the_program(robot: DrivenStage) -> None:
    with pytest.raises(ValueError, match="is not in Box"):
        robot.begin(at(1000))
    robot.act()
    with pytest.raises(ValueError, match="is not in Box"):
        robot.step(np.zeros(3, np.float32))
    robot.begin(at(0))
    with pytest.raises(RequestError, match="call act first"):
        robot.step(at(1))


def test_an_episode_has_a_beginning_and_an_end(live_run: LiveRun, robot: DrivenStage) -> None:
    step(robot, terminated=True)
    with pytest.raises(RequestError, match="call begin first"):
        robot.act()
    robot.begin(at(0))
    step(robot, truncated=True)
    with pytest.raises(RequestError, match="call begin first"):
        robot.act()
    with live_run.cluster.drive_stage(live_run.run, "another", SEEN, ACTIONS) as another:
        another.wait_for_policy(20)
        with pytest.raises(RequestError, match="call begin first"):
            another.act()


def test_a_picture_that_is_too_big_is_refused_and_the_stage_goes_on(
    service: LiveService, live_run: LiveRun, robot: DrivenStage
) -> None:
    with pytest.raises(InvalidRequest, match="image: 5000000 bytes; send at most"):
        robot.begin(at(3), image=b"x" * 5_000_000, image_type="image/jpeg")
    action = robot.act()
    with pytest.raises(InvalidRequest, match="image: 5000000 bytes"):
        robot.step(at(1), image=b"x" * 5_000_000, image_type="image/jpeg")
    # The same step again, with another picture.
    robot.step(at(1), image=b"x" * 4_000_000, image_type="image/jpeg")
    with service.teacher() as ann, ann.watch(live_run.run_id, "robot", steps=True) as watch:
        frame = next(frame for frame in watch if frame.shown.step is not None)
        assert frame.shown.step is not None
        assert frame.shown.step.action == action.action
        assert (frame.shown.frame, frame.shown.observations["obs"].tolist()) == (1, [1.0])
        assert step(robot) == 2


@pytest.mark.parametrize(
    ("seen", "actions"),
    [
        (gym.spaces.Box(-1.0, 1.0, (3,), np.float32), ACTIONS),
        (SEEN, gym.spaces.Discrete(7)),
        (SEEN, gym.spaces.Discrete(2)),
        (SEEN, gym.spaces.Box(-1.0, 1.0, (3,), np.float32)),
    ],
)
def test_a_policy_for_another_task_is_refused(
    live_run: LiveRun, seen: gym.Space[Any], actions: gym.Space[Any]
) -> None:
    live_run.cluster.publish_policy(live_run.run, policy(5, favourite=2))
    with (
        live_run.cluster.drive_stage(live_run.run, "robot", seen, actions) as stage,
        pytest.raises(ValueError, match=r"does not fit observations.*the spaces of the run's task"),
    ):
        stage.wait_for_policy(20)


def test_continuous_actions_stay_in_their_space(live_run: LiveRun) -> None:
    space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    weights = {
        "policy.0.weight": np.zeros((2, 1), np.float32),
        "policy.0.bias": np.array([9.0, -9.0], np.float32),
        "log_scale": np.full(2, -3.0, np.float32),
    }
    shared = SharedPolicy(version=1, weights=weights, network={"hidden": []})
    with live_run.cluster.drive_stage(live_run.run, "arm", SEEN, space) as arm:
        live_run.cluster.publish_policy(live_run.run, shared)
        arm.wait_for_policy(20)
        arm.begin(at(0))
        assert arm.act().action.tolist() == [1.0, -1.0]


def test_without_a_policy_nobody_acts(live_run: LiveRun) -> None:
    with live_run.cluster.drive_stage(live_run.run, "early", SEEN, ACTIONS) as early:
        early.begin(at(0))
        with pytest.raises(Unavailable, match="call wait_for_policy"):
            early.act()
        with pytest.raises(Unavailable, match=r"stages\.driven true"):
            early.wait_for_policy(0.1)


def test_a_policy_is_given_by_the_newest_driver_and_to_the_cluster_alone(
    service: LiveService, live_run: LiveRun
) -> None:
    with pytest.raises(NotFound):
        live_run.cluster.get_policy("no such run")
    with pytest.raises(InvalidRequest, match="there are none"):
        live_run.cluster.publish_policy(live_run.run, SharedPolicy(version=1, weights={}, network={}))
    live_run.cluster.open_run(live_run.run_id, live_run.run.task_id)
    with pytest.raises(StaleEpoch):
        live_run.cluster.publish_policy(live_run.run, policy(1, 0))
    with (
        TrainingClient(service.address, service.token("teacher")) as stranger,
        pytest.raises(Forbidden),
    ):
        stranger.get_policy(live_run.run_id)


def test_a_program_goes_on_while_the_service_is_away(own_service: LiveService) -> None:
    with own_service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        run = client.open_run("run", "task")
        with client.drive_stage(run, "robot", SEEN, ACTIONS) as robot:
            client.publish_policy(run, policy(5, favourite=2))
            robot.wait_for_policy(20)
            robot.begin(at(0))
            step(robot)
            own_service.kill()
            for _ in range(5):
                assert step(robot) == 2
            own_service.start()
            client.publish_policy(run, policy(7, favourite=1))
            end = time.monotonic() + 30
            while robot.act().policy_version != 7:
                assert time.monotonic() < end
                robot.step(at(1))
                time.sleep(0.05)
            # All that it did is there, with whatever people say of the last of it.
            with own_service.teacher("ann") as ann, ann.watch("run", "robot", steps=True) as watch:
                step(robot, 9.0)
                frame = watch.next(20)
                assert frame is not None
                receipt = frame.signal(1.0)
        assert receipt.offset == 0
