"""What simulated live teachers say of stages that are played by hand: signals and corrections, over a real service."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest

from hitl.credit import GammaDelay
from hitl.errors import ConfigError
from hitl.events import Signal
from hitl.reward.evidence.crediting import Crediting
from hitl.stages import Act, Release, Take
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
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
