"""Simulated live teachers in front of stages that are played by hand, over a real service."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.client.teaching import TeacherClient
from hitl.client.watching import WatchedFrame
from hitl.credit import GammaDelay
from hitl.errors import ConfigError, NotFound
from hitl.events import Signal
from hitl.reward.evidence.crediting import Crediting
from hitl.stages import Act, Release, Take
from hitl.teachers.interventions import SeenFrame, SeenStep
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
from hitl.teachers.onlooker import Onlooker
from tests.hitl.clocked import (
    AT_ONCE,
    Clocked,
    Verdict,
    Wanting,
    as_the_policy,
    by_name,
    by_turns,
    corrections,
    count,
    entries,
    good,
    is_by,
    otherwise,
    playing,
    signals,
    teaching,
)
from tests.hitl.live import START_SECONDS, LiveRun, LiveService, eventually


@pytest.fixture
def stage(live_run: LiveRun) -> Iterator[Clocked]:
    play = Clocked.open(live_run)
    assert isinstance(play, Clocked)
    yield play
    play.player.close()


class TestSignals:
    def test_they_agree_with_the_judge_where_the_true_delay_puts_them(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        delay = GammaDelay(shape=2.0, scale=0.03, shortest=0.25)
        settings = {
            "reaction_shape": delay.shape,
            "reaction_scale_seconds": delay.scale,
            "reaction_shortest_seconds": delay.shortest,
        }
        with playing(stage), teaching(service, live_run, Verdict(by_turns), **settings):
            eventually(lambda: count(live_run) >= 50)
        agreement = []
        crediting = Crediting(delay, across_episodes=False, smallest_share=0.1)
        for entry in entries(live_run):
            segments = live_run.cluster.get_segments(live_run.run_id, entry.segment_ids)
            if (found := crediting.take(entry, segments)) is not None:
                assert isinstance(entry.event, Signal)
                meant = [by_turns(int(state)) for state in found.shown.observation_LO[:, 0]]
                agreement.append(entry.event.value * float(found.credit_L @ meant))
        assert len(agreement) > 25
        assert np.mean(agreement) > 0.4

    def test_they_name_what_is_on_show_as_the_key_is_pressed_and_since_when(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        # Pressed in the middle of the step after the one that is meant.
        reaction = {**AT_ONCE, "reaction_shortest_seconds": 0.225}
        with playing(stage, 0.15), teaching(service, live_run, Verdict(by_name), **reaction):
            eventually(lambda: count(live_run) >= 12)
        shown = {frame.frame: frame.show_seconds for frame in stage.shown}
        told = [(s.frame, round(s.value * 1000), s.offset.total_seconds()) for s in signals(live_run)]
        delays = [shown[frame] + offset - shown[meant] for frame, meant, offset in told]
        assert np.median(delays) == pytest.approx(0.225, abs=0.03)
        after_next = [shown[frame] + offset - shown[frame + 1] for frame, _, offset in told[:-1]]
        assert np.median(after_next) < 0.02

    def test_opinions_are_of_the_action_in_the_state_before_it(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        verdict = Verdict(good)
        with teaching(service, live_run, verdict, **AT_ONCE):
            eventually(lambda: stage.player.watchers > 0)
            for _ in range(8):
                for show in (stage.step, stage.step, stage.reset):
                    show()
                    time.sleep(0.02)
                # Too many to be seen one by one.
                stage.step(30)
                asked = len(verdict.asked)
                while len(verdict.asked) < asked + 3:
                    stage.step()
                    time.sleep(0.02)
        begins = {frame.frame for frame in stage.shown if frame.step is None}
        assert all(action == as_the_policy(state) for state, action in verdict.asked)
        # The way into a new episode is no step.
        assert not begins & {state + 1 for state, _ in verdict.asked}
        assert len(set(verdict.asked)) == len(verdict.asked) < len(stage.shown) / 2

    def test_an_expert_says_good_of_its_own_actions_alone(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(lambda state: as_the_policy(state) if state % 2 else otherwise(state))
        with playing(stage), teaching(service, live_run, expert, **AT_ONCE):
            eventually(lambda: count(live_run) >= 10)
        # Pressed at once, so each is about the step that its frame shows.
        assert all(s.value == (1.0 if (s.frame - 1) % 2 else -1.0) for s in signals(live_run))

    def test_not_more_than_so_many_a_second(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        rate, begin = 4.0, time.monotonic()
        with playing(stage), teaching(service, live_run, Verdict(good), **AT_ONCE, signals_per_second=rate):
            eventually(lambda: count(live_run) >= 6)
        assert count(live_run) <= rate * (time.monotonic() - begin) + 1

    def test_an_opinion_that_cannot_be_ends_the_teacher(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        stop = threading.Event()
        giving_up = threading.Timer(START_SECONDS, stop.set)
        giving_up.start()
        with playing(stage), pytest.raises(ConfigError, match=r"Verdict\.opinion is 2\.0; return -1 to 1"):
            run_live_teacher(
                service.address,
                service.token("teacher"),
                live_run.run_id,
                "stage",
                LiveSettings(),
                Verdict(lambda state: 2.0),
                stop=stop,
            )
        giving_up.cancel()


class TestCorrections:
    CORRECT = InterventionSettings(mode="corrections")

    @pytest.mark.parametrize(("mistake", "said"), [(0.0, otherwise), (1.0, as_the_policy)])
    def test_they_say_what_the_expert_wants_where_the_policy_did_something_else(
        self,
        service: LiveService,
        live_run: LiveRun,
        stage: Clocked,
        mistake: float,
        said: Callable[[int], int],
    ) -> None:
        expert = Wanting(lambda state: as_the_policy(state) if state % 2 else otherwise(state))
        late = {**AT_ONCE, "reaction_shortest_seconds": 0.2, "mistake": mistake}
        with playing(stage), teaching(service, live_run, expert, intervention=self.CORRECT, **late):
            eventually(lambda: count(live_run) >= 10)
        told = corrections(live_run)
        assert [event.actions.tolist() for event in told] == [[said(event.frame)] for event in told]
        assert {event.frame % 2 for event in told} == {0}

    def test_not_more_than_so_many_corrections_a_second(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        rate, begin, expert = 4.0, time.monotonic(), Wanting(otherwise)
        limited = {**AT_ONCE, "signals_per_second": rate}
        with playing(stage), teaching(service, live_run, expert, intervention=self.CORRECT, **limited):
            eventually(lambda: count(live_run) >= 6)
        assert count(live_run) <= rate * (time.monotonic() - begin) + 1

    def test_whoever_has_the_controls_is_not_corrected(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(otherwise)
        with (
            service.teacher("bob") as bob,
            playing(stage),
            teaching(service, live_run, expert, intervention=self.CORRECT, **AT_ONCE),
        ):
            eventually(lambda: count(live_run) > 0)
            bob.control(live_run.run_id, "stage", Take(timedelta(seconds=60)))
            bob.control(live_run.run_id, "stage", Act(np.array(0)))
            eventually(lambda: sum(is_by("bob", frame) for frame in stage.shown) >= 20)
            bob.control(live_run.run_id, "stage", Release())
            before = count(live_run)
            eventually(lambda: count(live_run) > before + 2)
        steps = {frame.frame - 1: frame for frame in stage.shown}
        assert all(is_by("", steps[event.frame]) for event in corrections(live_run))

    def test_one_that_is_refused_does_not_end_the_teacher(
        self, service: LiveService, live_run: LiveRun, stage: Clocked, caplog: pytest.LogCaptureFixture
    ) -> None:
        late = {**AT_ONCE, "reaction_shortest_seconds": 0.4}
        with teaching(service, live_run, Wanting(otherwise), intervention=self.CORRECT, **late):
            eventually(lambda: stage.player.watchers > 0)

            def is_too_late() -> bool:
                stage.step(2)
                time.sleep(0.1)
                stage.step()
                time.sleep(0.1)
                stage.step(600)
                time.sleep(0.5)
                return "too old to be corrected" in caplog.text

            eventually(is_too_late)
            with playing(stage):
                before = count(live_run)
                eventually(lambda: count(live_run) > before + 2)


class TestProcesses:
    def test_a_process_teaches_over_a_restart_and_ends_when_told(
        self, own_service: LiveService, own_run: LiveRun, tmp_path: Path
    ) -> None:
        (tmp_path / "own_judge.py").write_text(
            "class Generous:\n    def opinion(self, observation, action):\n        return 1.0\n"
        )
        stage = Clocked.open(own_run)
        assert isinstance(stage, Clocked)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, own_service.address, own_run.run_id, "own_judge:Generous"],
            env={
                **os.environ,
                "HANDRAIL_TOKEN": own_service.token("teacher"),
                "PYTHONPATH": python_path(tmp_path),
            },
        )
        try:
            with playing(stage):
                eventually(lambda: count(own_run) >= 5)
                own_service.kill()
                time.sleep(0.2)
                own_service.start()
                before = count(own_run)
                eventually(lambda: count(own_run) >= before + 5)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=START_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
        frames = [told.frame for told in signals(own_run)]
        # One that is on show for long, while the service is away, can be judged twice.
        assert frames == sorted(frames)
        stage.player.close()

    def test_it_waits_for_its_stage(self, service: LiveService, live_run: LiveRun) -> None:
        with teaching(service, live_run, Verdict(good), **AT_ONCE):
            time.sleep(0.3)
            stage = Clocked.open(live_run)
            assert isinstance(stage, Clocked)
            with playing(stage):
                eventually(lambda: count(live_run) > 0)
            stage.player.close()

    def test_a_stage_that_dies_and_comes_back_is_taught_on(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        with teaching(service, live_run, Verdict(good), **AT_ONCE):
            with playing(stage):
                eventually(lambda: count(live_run) >= 3)
            stage.player.close()
            again = Clocked.open(live_run)
            assert isinstance(again, Clocked)
            with playing(again):
                before = count(live_run)
                eventually(lambda: count(live_run) > before + 3)
            again.player.close()

    def test_a_stage_that_the_service_does_not_find_is_looked_for_again(
        self, service: LiveService, live_run: LiveRun, stage: Clocked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch, calls = TeacherClient.watch, []

        def first_in_vain(self: TeacherClient, run_id: str, stage_id: str, **options: Any) -> Any:
            calls.append(stage_id)
            # The service itself says so only after ten seconds.
            if len(calls) == 1:
                raise NotFound("the stage has not come back yet")
            return watch(self, run_id, stage_id, **options)

        monkeypatch.setattr(TeacherClient, "watch", first_in_vain)
        with playing(stage), teaching(service, live_run, Verdict(good), **AT_ONCE):
            eventually(lambda: count(live_run) > 0)
        assert len(calls) == 2

    def test_a_stage_that_nobody_plays_is_given_up(self, service: LiveService, live_run: LiveRun) -> None:
        with pytest.raises(NotFound, match="has played no stage nowhere"):
            run_live_teacher(
                service.address,
                service.token("teacher"),
                live_run.run_id,
                "nowhere",
                LiveSettings(),
                Verdict(good),
                wait_for_stage_seconds=0,
            )


class Recording:
    """An intervention that does nothing but remember what it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def see(self, newest: SeenFrame, step: SeenStep | None) -> None:
        self.seen.append(newest.number)

    def end(self) -> None:
        pass


def test_a_frame_that_comes_again_over_a_new_connection_is_not_seen_again(
    service: LiveService, live_run: LiveRun, stage: Clocked
) -> None:
    recording, stop = Recording(), threading.Event()
    stage.step()
    with service.teacher() as ann, ann.watch(live_run.run_id, "stage", steps=True) as watch:
        frame = watch.next(START_SECONDS)
        assert frame is not None
        coming = iter([frame, frame])

        class Again:
            def next(self, timeout_seconds: float) -> WatchedFrame | None:
                again = next(coming, None)
                if again is None:
                    stop.set()
                return again

        Onlooker(recording).look(Again(), stop)  # type: ignore[arg-type]
    assert recording.seen == [frame.shown.frame]


PROGRAM = """
import os, sys
from hitl.teachers.judging import load_mind
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import run_live_teacher
address, run_id, judge = sys.argv[1:]
settings = LiveSettings(reaction_scale_seconds=0.01, reaction_shortest_seconds=0.0)
sys.exit(
    run_live_teacher(address, os.environ["HANDRAIL_TOKEN"], run_id, "stage", settings, load_mind(judge))
)
"""


def python_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "shouting"}, {"tolerance": -0.1}, {"takeover_patience_steps": 0}, {"takeover_steps": 0}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        InterventionSettings(**wrong)
