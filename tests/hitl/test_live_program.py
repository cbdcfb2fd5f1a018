"""The life of a simulated live teacher in front of a stage that is played by hand, over a real service."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitl.client.teaching import TeacherClient
from hitl.client.watching import WatchedFrame
from hitl.errors import ConfigError, NotFound
from hitl.teachers.interventions import SeenFrame, SeenStep
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
from hitl.teachers.onlooker import Onlooker
from tests.hitl.clocked import (
    AT_ONCE,
    Clocked,
    Verdict,
    count,
    good,
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
