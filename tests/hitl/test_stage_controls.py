import threading
import time
from datetime import timedelta

import numpy as np
import pytest

from hitl.errors import (
    InvalidRequest,
    NotYours,
)
from hitl.stages import Act, Advance, Control, Pause, Rate, Release, Reset, Resume, Stop, Take
from tests.hitl.live import LiveRun, LiveService
from tests.hitl.playing import Play


class TestControls:
    def control(self, service: LiveService, run: LiveRun, name: str, control: Control) -> object:
        with service.teacher(name) as teacher:
            return teacher.control(run.run_id, "stage", control)

    def test_one_has_them_and_others_are_told_who(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        assert self.control(service, live_run, "ann", Take(timedelta(seconds=30))) is not None
        for control in (Take(), Act(np.array(1)), Pause(), Reset(), Release()):
            with pytest.raises(NotYours, match="ann has the controls"):
                self.control(service, live_run, "bob", control)
        self.control(service, live_run, "ann", Act(np.array(2), timedelta(seconds=1)))
        self.control(service, live_run, "bob", Stop())
        self.control(service, live_run, "ann", Release())
        self.control(service, live_run, "bob", Take())
        acted, stopped, released = play.next_commands(3)
        assert isinstance(acted.control, Act)
        assert (acted.teacher_id, acted.control.action, acted.control.hold) == (
            "ann",
            2,
            timedelta(seconds=1),
        )
        assert (stopped.teacher_id, stopped.control) == ("bob", Stop())
        assert (released.teacher_id, released.control) == ("ann", Release())

    def test_two_who_grab_at_once_do_not_both_get_them(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        got: list[str] = []

        def grab(name: str) -> None:
            with service.teacher(name) as teacher:
                try:
                    teacher.control(live_run.run_id, "stage", Take())
                    got.append(name)
                except NotYours:
                    pass

        threads = [threading.Thread(target=grab, args=(f"teacher-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1

    def test_a_lease_ends_by_time_and_the_policy_acts_again(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        self.control(service, live_run, "ann", Take(timedelta(seconds=0.3)))
        (command,) = play.next_commands()
        assert (command.teacher_id, command.control) == ("ann", Release())
        assert self.control(service, live_run, "bob", Take()) is not None

    def test_a_lease_is_kept_by_taking_again(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        for _ in range(6):
            self.control(service, live_run, "ann", Take(timedelta(seconds=0.5)))
            time.sleep(0.2)
        with pytest.raises(NotYours):
            self.control(service, live_run, "bob", Take())
        assert list(play.player.commands()) == []

    def test_nobody_acts_without_having_taken_them(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        with pytest.raises(NotYours, match="take them first"):
            self.control(service, live_run, "ann", Act(np.array(1)))

    def test_an_action_outside_the_space_is_refused(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        self.control(service, live_run, "ann", Take())
        with pytest.raises(InvalidRequest, match="outside the action space"):
            self.control(service, live_run, "ann", Act(np.array(4)))
        assert list(play.player.commands()) == []

    @pytest.mark.parametrize("control", [Pause(), Resume(), Advance(), Reset(), Rate(3.5), Stop()])
    def test_what_nobody_holds_anybody_may_use(
        self, service: LiveService, live_run: LiveRun, play: Play, control: Control
    ) -> None:
        assert self.control(service, live_run, "ann", control) is None
        (command,) = play.next_commands()
        assert (command.teacher_id, command.control) == ("ann", control)

    def test_an_action_may_be_a_plain_number(
        self, service: LiveService, live_run: LiveRun, play: Play
    ) -> None:
        self.control(service, live_run, "ann", Take())
        self.control(service, live_run, "ann", Act(2))
        (command,) = play.next_commands()
        assert isinstance(command.control, Act)
        assert command.control.action == 2

    @pytest.mark.parametrize(
        "control", [Rate(0.0), Rate(-1.0), Rate(float("nan")), Take(timedelta(hours=1)), Take(timedelta(0))]
    )
    def test_what_cannot_be_is_refused(
        self, service: LiveService, live_run: LiveRun, play: Play, control: Control
    ) -> None:
        with pytest.raises(InvalidRequest):
            self.control(service, live_run, "ann", control)
