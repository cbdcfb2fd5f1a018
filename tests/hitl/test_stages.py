import time
from datetime import timedelta

import numpy as np
import pytest

from hitl.client.channel import Channel
from hitl.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    StaleEpoch,
)
from hitl.stages import ActionSpace, StageState, Take
from hitl.v1 import teaching_pb2
from hitl.v1.teaching_pb2_grpc import TeachingServiceStub
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play, seen, stored_lengths


class TestWatching:
    def test_a_teacher_sees_frames_with_their_steps(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.step()
        seen(service, live_run, 1)
        with service.teacher() as ann, ann.watch(live_run.run_id, "stage", steps=True) as watch:
            frames = [watch.next(10)]
            play.step()
            frames.append(watch.next(10))
        first, second = frames
        assert first is not None
        assert second is not None
        assert (first.shown.frame, second.shown.frame) == (1, 2)
        assert second.shown.image == b"picture 2"
        assert second.shown.observations["obs"].tolist() == [2.0]
        assert second.shown.step is not None
        assert (second.shown.step.action, second.shown.step.policy_version) == (2, 1)
        assert second.address is not None
        assert (second.address.source, second.address.episode) == ("stage", 0)
        assert (second.address.begin, second.address.end) == (1, 2)

    def test_the_frame_that_begins_an_episode_shows_no_step(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.step(3)
        play.reset()
        seen(service, live_run, 4)
        with service.teacher() as ann, ann.watch(live_run.run_id, "stage") as watch:
            frame = watch.next(10)
        assert frame is not None
        assert (frame.shown.frame, frame.shown.episode, frame.shown.step, frame.address) == (4, 4, None, None)

    def test_only_oracles_see_true_rewards_and_only_who_asks_gets_states_and_pictures(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.step()
        seen(service, live_run, 1)
        for role, reward in (("oracle", 1.0), ("teacher", None)):
            with (
                service.teacher(role=role) as someone,  # type: ignore[arg-type]
                someone.watch(live_run.run_id, "stage", images=False, steps=role == "oracle") as watch,
            ):
                frame = watch.next(10)
            assert frame is not None
            assert frame.shown.step is not None
            assert frame.shown.step.true_reward == reward
            assert frame.shown.image == b""
            assert bool(frame.shown.observations) == (role == "oracle")

    def test_whoever_is_slow_gets_fewer_frames_and_never_old_ones(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        with service.teacher() as ann, ann.watch(live_run.run_id, "stage") as watch:
            ages = []
            for _ in range(20):
                frame = watch.next(10)
                assert frame is not None
                ages.append(play.newest - frame.shown.frame)
                # Twenty frames come while this one is looked at.
                for _ in range(20):
                    play.step()
                    time.sleep(0.002)
                seen(service, live_run, play.newest)
            # Of twenty, and a busy machine may delay a few.
            assert np.median(ages) <= 3
            assert watch.skipped > 0

    def test_without_acknowledgements_the_stream_stands_still(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        request = teaching_pb2.WatchStageRequest(
            run_id=live_run.run_id, stage_id="stage", max_unacknowledged=2
        )
        with Channel(service.address, service.token("teacher"), patience_seconds=0) as channel:
            stub = TeachingServiceStub(channel.grpc)
            stream = stub.WatchStage(request, metadata=channel.metadata)
            first = next(stream)
            play.step()
            second = next(stream)
            for _ in range(30):
                play.step()
                time.sleep(0.01)
            seen(service, live_run, play.newest)
            acknowledgement = teaching_pb2.AcknowledgeFrameRequest(
                watch_id=first.watch_id, frame=second.frame.frame
            )
            channel.call(stub.AcknowledgeFrame, acknowledgement)
            # None of the thirty was sent before.
            assert next(stream).frame.frame == play.newest
            stream.cancel()

    def test_the_stage_knows_how_many_watch(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        with service.teacher() as ann:
            with ann.watch(live_run.run_id, "stage"), ann.watch(live_run.run_id, "stage"):
                eventually(lambda: play.player.watchers == 2)
                (stage,) = ann.stages(live_run.run_id)
                assert (stage.stage_id, stage.watchers, stage.rate, stage.holder) == ("stage", 2, 10.0, "")
            eventually(lambda: play.player.watchers == 0)

    def test_what_is_made_of_a_stage_is_told_at_once_and_no_frame_comes_twice(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.step()
        seen(service, live_run, 1)
        with (
            service.teacher() as ann,
            service.teacher("bob") as bob,
            ann.watch(live_run.run_id, "stage") as watch,
            bob.watch(live_run.run_id, "stage") as other,
        ):
            frame = watch.next(10)
            assert frame is not None
            assert watch.state == StageState(rate=10.0)
            for state in (
                StageState(paused=True, rate=10.0),
                StageState(paused=True, rate=2.5),
                StageState(paused=True, rate=2.5, safe_stop=True),
                StageState(rate=2.5),
            ):
                heard = watch.heard
                play.player.tell(state)
                eventually(lambda: watch.state == other.state == state)  # noqa: B023
                assert watch.heard > heard
                (stage,) = ann.stages(live_run.run_id)
                assert (stage.paused, stage.rate, stage.safe_stop) == (
                    state.paused,
                    state.rate,
                    state.safe_stop,
                )
            bob.control(live_run.run_id, "stage", Take(timedelta(seconds=0.5)))
            eventually(lambda: watch.holder == "bob")
            assert ann.stages(live_run.run_id)[0].frame == 1
            eventually(lambda: watch.holder == "")
            assert watch.next(0.1) is None
            assert watch.skipped == 0
            # A frame says how the stage goes, too; that it was stopped is kept.
            play.player.tell(StageState(paused=True, rate=1.0, safe_stop=True))
            play.step()
            newer = watch.next(10)
            assert newer is not None
            assert newer.shown.frame == 2
            eventually(lambda: watch.state == StageState(rate=10.0, safe_stop=True))

    def test_a_state_waits_as_frames_do_for_whoever_acknowledges_nothing(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        request = teaching_pb2.WatchStageRequest(
            run_id=live_run.run_id, stage_id="stage", max_unacknowledged=2
        )
        with Channel(service.address, service.token("teacher"), patience_seconds=5) as channel:
            stub = TeachingServiceStub(channel.grpc)
            stream = stub.WatchStage(request, metadata=channel.metadata)
            first = next(stream)
            play.player.tell(StageState(paused=True))
            again = next(stream)
            assert (first.frame, again.frame.frame, again.state.paused) == (again.frame, 0, True)
            for rate in range(1, 20):
                play.player.tell(StageState(rate=float(rate)))
            with service.teacher() as ann:
                eventually(lambda: ann.stages(live_run.run_id)[0].rate == 19.0)
            acknowledgement = teaching_pb2.AcknowledgeFrameRequest(watch_id=first.watch_id, frame=0)
            channel.call(stub.AcknowledgeFrame, acknowledgement)
            assert next(stream).state.rate == 19.0
            stream.cancel()

    def test_a_stage_that_nobody_plays_is_not_found(self, service: LiveService, live_run: LiveRun) -> None:
        with service.teacher() as ann, ann.watch(live_run.run_id, "nowhere") as watch:
            with pytest.raises(NotFound, match="plays no stage nowhere"):
                watch.next(30)
            assert ann.stages(live_run.run_id) == []

    def test_a_token_of_another_run_sees_nothing(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        from hitl.client.teaching import TeacherClient

        token = service.token("teacher", "eve", runs=["another"])
        with TeacherClient(service.address, token) as eve:
            with pytest.raises(Forbidden):
                eve.stages(live_run.run_id)
            with eve.watch(live_run.run_id, "stage") as watch, pytest.raises(Forbidden):
                watch.next(10)
            with pytest.raises(Forbidden):
                eve.control(live_run.run_id, "stage", Take())


class TestPlaying:
    def test_steps_are_stored_in_consecutive_segments(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.step(70)
        play.teacher_id = "ann"
        play.step(20)
        play.teacher_id = ""
        play.step(5)
        play.reset()
        eventually(lambda: play.player.unstored == 1)
        ids = ["stage/1", "stage/51", "stage/71", "stage/91"]
        segments = live_run.cluster.get_segments(live_run.run_id, ids)
        assert [len(segment) for segment in segments] == [50, 20, 20, 5]
        assert [s.showing.teacher_id for s in segments if s.showing] == ["", "", "ann", ""]
        states = np.concatenate([segment.observations["obs"] for segment in segments])
        assert states[:, 0].tolist() == list(range(95))

    def test_closing_stores_what_was_shown(self, service: LiveService, live_run: LiveRun) -> None:
        play = Play.open(live_run)
        play.step(7)
        play.player.close()
        eventually(lambda: stored_lengths(live_run, ["stage/1"]) == [7])

    def test_a_stage_that_comes_back_begins_behind_its_past(
        self, service: LiveService, live_run: LiveRun
    ) -> None:
        play = Play.open(live_run)
        play.step(7)
        seen(service, live_run, 7)
        play.player.close()
        again = Play.open(live_run)
        assert again.shown[0].frame > 7
        again.player.close()

    def test_a_stage_is_played_by_one_alone(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        usurper = Play.open(live_run)

        def refused() -> bool:
            try:
                list(play.player.commands())
            except StaleEpoch as error:
                return "two never play one stage" in str(error)
            return False

        eventually(refused)
        usurper.player.close()

    def test_an_older_driver_cannot_play(self, service: LiveService, live_run: LiveRun, play: Play) -> None:
        live_run.cluster.open_run(live_run.run_id, "task")
        with pytest.raises(StaleEpoch):
            Play.open(live_run, "another")

    def test_a_gap_between_frames_ends_the_connection(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        play.frame += 1
        play.step()

        def refused() -> bool:
            try:
                list(play.player.commands())
            except InvalidRequest as error:
                return "does not follow" in str(error)
            return False

        eventually(refused)


class TestActionSpaces:
    BOX = ActionSpace(low=np.array([-1.0, 0.0], np.float32), high=np.array([1.0, 2.0], np.float32))
    MULTI = ActionSpace(choices=(2, 3))

    @pytest.mark.parametrize(
        ("space", "actions"),
        [
            (BOX, np.array([[-1.0, 2.0], [0.5, 0.0]])),
            (BOX, np.array([[1.0, 0.0]], np.float32)),
            (MULTI, np.array([[1, 2], [0, 0]])),
        ],
    )
    def test_actions_inside_are_good(self, space: ActionSpace, actions: np.ndarray) -> None:
        space.check(actions, "actions")

    @pytest.mark.parametrize(
        ("space", "actions"),
        [
            (BOX, np.array([[1.1, 0.0]])),
            (BOX, np.array([[np.nan, 0.0]])),
            (BOX, np.array([[0, 0]])),
            (BOX, np.array([0.0, 0.0])),
            (MULTI, np.array([[2, 0]])),
            (MULTI, np.array([[0, -1]])),
            (MULTI, np.array([0, 1])),
        ],
    )
    def test_actions_outside_are_refused(self, space: ActionSpace, actions: np.ndarray) -> None:
        with pytest.raises(InvalidRequest, match="send"):
            space.check(actions, "actions")
