"""Stages as Ray actors, on a real service, watched by a real teacher."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from cluster.environments.making import make_shown
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.loop.learning.learner import acting_weights
from cluster.newest import Newest, Published
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.company import Company
from hitl.client.teaching import TeacherClient
from hitl.client.watching import StageWatch, WatchedFrame
from hitl.errors import ConfigError, NotFound
from hitl.events import Receipt
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.spaces import safe_action
from hitl.stages import Act, Advance, Control, Pause, Rate, Release, Reset, Resume, StageState, Stop, Take
from policies.networks import ActorCritic
from tests.cluster.stages.dial import END, LEFT, RIGHT, STAY
from tests.cluster.stages.processes import process_of
from tests.hitl.live import LiveService, eventually

pytestmark = pytest.mark.usefixtures("ray_session")

DIAL = EnvironmentConfig(id="tests.cluster.stages.dial:Dial", fixed_horizon=40)
SETTINGS = StagesConfig(count=1, rate=50.0, safe_action=STAY)


def weights(favourite: int) -> ray.ObjectRef:
    """A policy that always does one thing."""
    env = make_shown(DIAL)
    network = ActorCritic(env.observation_space, env.action_space, hidden=())
    arrays = acting_weights(network)
    (bias,) = [name for name in arrays if name.startswith("policy.") and name.endswith("bias")]
    arrays[bias] = np.where(np.arange(3) == favourite, 50.0, 0.0).astype(np.float32)
    return ray.put(arrays)


@dataclass(slots=True)
class Show:
    company: Company
    link: FeedbackLink
    ann: TeacherClient
    rewards: Any

    @property
    def run_id(self) -> str:
        return self.link.run_id

    def watch(self) -> StageWatch:
        return self.ann.watch(self.run_id, "stage-0", steps=True)

    def control(self, control: Control) -> None:
        self.ann.control(self.run_id, "stage-0", control)


@pytest.fixture
def show(service: LiveService, request: pytest.FixtureRequest) -> Iterator[Show]:
    at = FeedbackService(
        address=service.address, token=service.token("cluster", "driver"), name=request.node.name
    )
    link = at.open_run(DIAL, "trial")
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=DIAL,
        model_config={"hidden": ()},
        settings=SETTINGS,
        # So cold that no test ever sees another action than the best.
        acting=ActingConfig(kind=getattr(request, "param", "policy"), temperature=0.05),
        imitation=ImitationConfig(),
        rewards=(rewards := ray.remote(Newest).remote()),
        seeds=[0],
    )
    company.show_policy(1, weights(STAY), reward_weight=1.0)
    with service.teacher("ann") as ann:
        # Ray takes a while to start a process on a busy machine.
        eventually(lambda: bool(ann.stages(link.run_id)), seconds=60)
        yield Show(company, link, ann, rewards)
    company.stop()


def until(
    watch: StageWatch, condition: Callable[[WatchedFrame], bool], *, seconds: float = 30.0
) -> WatchedFrame:
    """Return the first frame for which it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = watch.next(seconds)
        if frame is not None and condition(frame):
            return frame
    pytest.fail("no such frame came")


def action_of(frame: WatchedFrame) -> Any:
    return None if frame.shown.step is None else int(np.asarray(frame.shown.step.action))


def test_a_teacher_sees_the_newest_policy_play(show: Show) -> None:
    with show.watch() as watch:
        first = until(watch, lambda frame: frame.shown.step is not None)
        assert action_of(first) == STAY
        picture = Image.open(io.BytesIO(first.shown.image))
        assert (picture.format, picture.size, first.shown.image_type) == ("JPEG", (60, 40), "image/jpeg")
        show.company.show_policy(7, weights(RIGHT), reward_weight=1.0)
        newer = until(watch, lambda frame: bool(frame.shown.step and frame.shown.step.policy_version == 7))
        assert action_of(newer) == RIGHT
        # What it did is what is seen: the hand goes right, a place each step, to the end of the dial.
        last = until(watch, lambda frame: abs(frame.shown.observations["obs"][0]) == END)
        following = until(watch, lambda frame: frame.shown.episode > last.shown.episode)
        assert following.shown.observations["obs"][0] < END


def reward_version_of(frame: WatchedFrame) -> int:
    return frame.shown.step.reward_version if frame.shown.step else 0


def reward_for(favourite: int) -> ray.ObjectRef:
    """A reward model that likes one action, and expects 2 for it and 0 for the others."""
    env = make_shown(DIAL)
    ensemble = RewardEnsemble(InputSpace.of(env.observation_space, env.action_space), members=2, hidden=())
    with torch.no_grad():
        ensemble.weights[0].zero_()
        ensemble.weights[0][:, -3 + favourite] = 2.0
    return ray.put(dict(ensemble.to_arrays()))


@pytest.mark.parametrize("show", ["reward"], indirect=True)
def test_it_acts_by_the_newest_reward_model(show: Show) -> None:
    with show.watch() as watch:
        # Before there is one, all actions are equally good.
        untaught = [until(watch, lambda frame: frame.shown.step is not None) for _ in range(30)]
        assert {action_of(frame) for frame in untaught} == {STAY, LEFT, RIGHT}
        assert {frame.shown.step.predicted_reward for frame in untaught if frame.shown.step} == {None}
        for version, favourite in ((3, LEFT), (4, RIGHT)):
            published = Published(version=version, boxed=[reward_for(favourite)], journal_end=10 * version)
            show.rewards.publish.remote(published)
            taught = until(watch, lambda frame, version=version: reward_version_of(frame) == version)
            assert action_of(taught) == favourite
            assert taught.shown.step is not None
            # Measured from the mean of all three actions.
            assert taught.shown.step.predicted_reward == pytest.approx(2.0 - 2.0 / 3)
            assert taught.shown.step.journal_end == 10 * version


def test_a_policy_that_acts_is_told_what_people_would_say(show: Show) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: frame.shown.step is not None)
        show.rewards.publish.remote(Published(version=2, boxed=[reward_for(LEFT)]))
        judged = until(watch, lambda frame: reward_version_of(frame) == 2)
        assert action_of(judged) == STAY
        assert judged.shown.step is not None
        assert judged.shown.step.predicted_reward == pytest.approx(0.0)


def test_an_episode_ends_at_the_horizon(show: Show) -> None:
    with show.watch() as watch:
        episode = until(watch, lambda frame: frame.shown.frame > 0).shown.episode
        following = until(watch, lambda frame: frame.shown.episode > episode)
        assert following.shown.episode - episode == 41


def test_how_an_episode_ended_is_told(show: Show) -> None:
    def ended(frame: WatchedFrame) -> bool:
        step = frame.shown.step
        return step is not None and (step.terminated or step.truncated)

    def flags(watch: StageWatch) -> tuple[int, bool, bool]:
        shown = until(watch, ended).shown
        assert shown.step is not None
        return shown.frame - shown.episode, shown.step.terminated, shown.step.truncated

    with show.watch() as watch:
        assert flags(watch) == (40, False, True)
        show.control(Take())
        show.control(Act(np.array(RIGHT)))
        # The first episode that is theirs from its beginning.
        until(watch, lambda frame: action_of(frame) == RIGHT)
        until(watch, lambda frame: frame.shown.step is None)
        assert flags(watch) == (END, True, False)


@pytest.mark.parametrize("rate", [50.0, 10.0])
def test_it_keeps_the_pace_wanted(show: Show, rate: float) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: True)
        show.control(Rate(rate))
        first = until(watch, lambda frame: frame.shown.rate == rate)
        last = until(watch, lambda frame: frame.shown.frame >= first.shown.frame + 20)
    frames = last.shown.frame - first.shown.frame
    seconds = last.shown.show_seconds - first.shown.show_seconds
    # Never faster; how much slower depends on the machine.
    assert seconds >= 0.9 * frames / rate


def test_while_nobody_watches_it_stands_still(show: Show) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: frame.shown.frame > 3)
    time.sleep(0.5)
    with show.watch() as watch:
        before = until(watch, lambda frame: True)
    time.sleep(1.0)
    with show.watch() as watch:
        after = until(watch, lambda frame: True)
    # Fifty more would have come in that second.
    assert after.shown.frame - before.shown.frame < 25


def test_it_pauses_and_goes_step_by_step(show: Show) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: frame.shown.frame > 3)
        show.control(Pause())
        eventually(lambda: watch.state == StageState(paused=True, rate=50.0))
        (stage,) = show.ann.stages(show.run_id)
        assert stage.paused
        show.control(Rate(25.0))
        eventually(lambda: watch.state == StageState(paused=True, rate=25.0))
        show.control(Stop())
        eventually(lambda: show.ann.stages(show.run_id)[0].safe_stop)
        assert show.ann.stages(show.run_id)[0].frame == stage.frame
        show.control(Resume())
        show.control(Pause())
        eventually(lambda: watch.state == StageState(paused=True, rate=25.0))
        (stage,) = show.ann.stages(show.run_id)
        show.control(Advance())
        advanced = until(watch, lambda frame: frame.shown.frame > stage.frame)
        assert advanced.shown.frame == stage.frame + 1
        assert advanced.shown.paused
        assert watch.next(0.5) is None
        show.control(Reset())
        begun = until(watch, lambda frame: frame.shown.frame > advanced.shown.frame)
        assert begun.shown.step is None
        show.control(Resume())
        assert not until(watch, lambda frame: frame.shown.frame > begun.shown.frame + 3).shown.paused


def test_a_teacher_takes_over_and_gives_back(show: Show) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: frame.shown.frame > 3)
        show.control(Take(timedelta(seconds=30)))
        show.control(Act(np.array(LEFT)))
        taken = until(watch, lambda frame: action_of(frame) == LEFT)
        assert taken.shown.step is not None
        assert (taken.shown.step.teacher_id, taken.holder) == ("ann", "ann")
        show.control(Stop())
        until(
            watch,
            lambda frame: action_of(frame) == STAY and bool(frame.shown.step and frame.shown.step.teacher_id),
        )
        show.control(Resume())
        until(watch, lambda frame: action_of(frame) == LEFT)
        show.control(Release())
        given_back = until(watch, lambda frame: action_of(frame) == STAY)
        assert given_back.shown.step is not None
        assert given_back.shown.step.teacher_id == ""


def test_controls_are_free_again_when_their_holder_says_nothing(show: Show, service: LiveService) -> None:
    with show.watch() as watch:
        until(watch, lambda frame: frame.shown.frame > 3)
        show.control(Take(timedelta(seconds=0.5)))
        show.control(Act(np.array(LEFT)))
        until(watch, lambda frame: action_of(frame) == LEFT)
        until(watch, lambda frame: action_of(frame) == STAY)
    with service.teacher("bob") as bob:
        assert bob.control(show.run_id, "stage-0", Take()) is not None


def test_a_stage_that_is_killed_comes_back_and_nothing_acknowledged_is_lost(
    show: Show, service: LiveService
) -> None:
    receipts: list[tuple[int, Receipt]] = []
    with show.watch() as watch:
        for _ in range(10):
            frame = until(watch, lambda frame: frame.shown.step is not None)
            receipts.append((frame.shown.frame, frame.signal(1.0)))
        process_of("Stage").kill()
        killed = receipts[-1][0]
        again = until(watch, lambda frame: killed < frame.shown.episode < frame.shown.frame, seconds=60)
        receipts.append((again.shown.frame, again.signal(-1.0)))
    with service.cluster() as cluster:
        entries = next(iter(cluster.tail(show.run_id)))
        assert [entry.event.event_id for entry in entries if entry.event] == [r.event_id for _, r in receipts]
        for (number, _), entry in zip(receipts, entries, strict=True):
            named = cluster.get_segments(show.run_id, entry.segment_ids)
            frames = [
                f for s in named if s.showing for f in range(s.showing.first_frame, s.showing.end_frame)
            ]
            assert number in frames


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ConfigError, match="no render_mode rgb_array"):
        make_shown(EnvironmentConfig(id="tests.cluster.stages.dial:Blind"))


@pytest.mark.parametrize(("wanted", "expected"), [(None, 0), (2, 2)])
def test_the_safe_action_is_the_runs_or_the_first(wanted: int | None, expected: int) -> None:
    env = make_shown(DIAL)
    assert safe_action(wanted, env.action_space) == expected


def test_a_safe_action_outside_the_space_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stages\.safe_action"):
        safe_action(3, make_shown(DIAL).action_space)


def test_without_stages_nobody_finds_one(service: LiveService, show: Show) -> None:
    show.company.stop()
    eventually(lambda: show.ann.stages(show.run_id) == [])
    with pytest.raises(NotFound):
        show.ann.control("another run", "stage-0", Take())
