"""Simulated live teachers who take the controls, over a real service."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from hitl.errors import ConfigError
from hitl.stages import Act, ActionSpace, Release, Take
from hitl.teachers import takeover
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
from tests.hitl.clocked import (
    AT_ONCE,
    Clocked,
    Verdict,
    Wanting,
    as_the_policy,
    good,
    is_by,
    playing,
    step_until_asked,
    teaching,
)
from tests.hitl.live import LiveRun, LiveService, eventually


class TestTakeovers:
    @pytest.fixture
    def stage(self, live_run: LiveRun) -> Iterator[Clocked]:
        """With so many actions that an expert can name the state that it wants each in."""
        play = Clocked.open(live_run, action_space=ActionSpace(choices=(10_000,), single=True))
        assert isinstance(play, Clocked)
        yield play
        play.player.close()

    def take(self, patience: int = 3, steps: int = 8) -> InterventionSettings:
        return InterventionSettings(mode="takeover", takeover_patience_steps=patience, takeover_steps=steps)

    def test_patience_ends_the_expert_acts_for_a_while_and_lets_go(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(lambda state: 1000 + state)
        with playing(stage), teaching(service, live_run, expert, intervention=self.take(), **AT_ONCE):
            eventually(lambda: sum(command.control == Release() for command in stage.heard) >= 3)
        takeovers: list[list[int]] = [[]]
        for command in stage.heard:
            assert command.teacher_id == "program"
            if isinstance(command.control, Act):
                takeovers[-1].append(int(command.control.action) - 1000)
            else:
                assert command.control == Release()
                takeovers.append([])
        by_policy = [frame.frame for frame in stage.shown if is_by("", frame)]
        free_from = 0
        for states in takeovers[:3]:
            assert states == sorted(set(states))
            assert 1 < len(states) <= states[-1] - states[0] + 1 <= 8
            assert sum(free_from < frame <= states[0] for frame in by_policy) >= 3
            free_from = states[-1]
        # What the expert wants is done.
        acted = [int(f.step.action) for f in stage.shown if f.step and f.step.teacher_id == "program"]
        assert acted
        assert min(acted) >= 1000

    def test_who_is_asked_for_help_acts_as_long_as_it_is_wanted(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(lambda state: 1000)
        stage.asks_help = lambda frame: frame // 10 % 2 == 1
        with (
            playing(stage),
            teaching(service, live_run, expert, intervention=InterventionSettings(mode="help"), **AT_ONCE),
        ):
            eventually(lambda: sum(command.control == Release() for command in stage.heard) >= 2)
        helped = [frame.frame for frame in stage.shown if is_by("program", frame)]
        # A step that ends in frame n was taken in frame n - 1, and the hand is a few frames late.
        wanted = sum(stage.asks_help(number - 1) for number in helped)
        assert wanted > 0.5 * len(helped)
        free = [f.frame for f in stage.shown if f.step and is_by("", f) and not stage.asks_help(f.frame - 1)]
        assert len(free) > 10

    def test_steps_that_are_right_restore_patience(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(lambda state: 1000 if state % 3 == 0 else as_the_policy(state))
        with teaching(service, live_run, expert, intervention=self.take(patience=2), **AT_ONCE):
            step_until_asked(stage, expert, 12)
        assert stage.heard == []

    def test_a_new_episode_restores_patience(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        expert = Wanting(lambda state: 1000)
        with teaching(service, live_run, expert, intervention=self.take(patience=6), **AT_ONCE):
            for _ in range(5):
                step_until_asked(stage, expert, 2)
                stage.reset()
        assert stage.heard == []

    def test_a_teacher_that_is_told_to_stop_gives_the_controls_back(
        self, service: LiveService, live_run: LiveRun, stage: Clocked
    ) -> None:
        with playing(stage):
            forever = self.take(steps=10_000)
            with teaching(service, live_run, Wanting(lambda state: 1000), intervention=forever, **AT_ONCE):
                eventually(lambda: bool(stage.heard))
            with service.teacher("bob") as bob:
                assert bob.control(live_run.run_id, "stage", Take()) is not None

    def test_the_controls_are_kept_for_longer_than_a_lease(
        self, service: LiveService, live_run: LiveRun, stage: Clocked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(takeover, "_LEASE", timedelta(seconds=1.5))
        monkeypatch.setattr(takeover, "_RENEW_SECONDS", 0.1)
        forever = self.take(steps=10_000)
        expert = Wanting(lambda state: 1000)
        with playing(stage), teaching(service, live_run, expert, intervention=forever, **AT_ONCE):
            eventually(lambda: bool(stage.heard))
            end = time.monotonic() + 2.0
            eventually(lambda: time.monotonic() > end)
            assert all(isinstance(command.control, Act) for command in stage.heard)

    def test_they_wait_while_somebody_else_has_the_controls(
        self, service: LiveService, live_run: LiveRun, stage: Clocked, caplog: pytest.LogCaptureFixture
    ) -> None:
        expert = Wanting(lambda state: 1000)
        with service.teacher("bob") as bob:
            bob.control(live_run.run_id, "stage", Take(timedelta(seconds=60)))
            with playing(stage), teaching(service, live_run, expert, intervention=self.take(), **AT_ONCE):
                eventually(lambda: caplog.text.count("bob has the controls") >= 2)
                assert stage.heard == []
                bob.control(live_run.run_id, "stage", Release())
                eventually(lambda: any(isinstance(command.control, Act) for command in stage.heard))

    def test_who_cannot_act_is_told_so(self, service: LiveService, live_run: LiveRun) -> None:
        with pytest.raises(ConfigError, match=r"mode takeover needs .* give it a method act"):
            run_live_teacher(
                service.address,
                service.token("teacher"),
                live_run.run_id,
                "stage",
                LiveSettings(),
                Verdict(good),
                self.take(),
            )
