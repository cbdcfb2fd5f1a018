from datetime import timedelta

import numpy as np

from hitl.controls import Controls
from hitl.stages import Act, Advance, Command, Control, Pause, Rate, Release, Reset, Resume, StageState, Stop

SAFE = np.array(0)


def controls() -> Controls:
    return Controls(rate=15.0, safe_action=SAFE)


def take(held: Controls, *wanted: Control, teacher_id: str = "ann", now: float = 0.0) -> None:
    for control in wanted:
        held.take(Command(teacher_id, control), now)


def test_the_policy_acts_until_somebody_does() -> None:
    held = controls()
    assert held.override(0.0) is None
    take(held, Act(np.array(2)))
    override = held.override(1000.0)
    assert override is not None
    assert (override.teacher_id, override.action) == ("ann", 2)
    take(held, Release())
    assert held.override(1000.0) is None


def test_an_action_holds_for_its_time() -> None:
    held = controls()
    take(held, Act(np.array(2), timedelta(seconds=0.5)), now=10.0)
    assert held.override(10.4) is not None
    assert held.override(10.5) is None
    take(held, Act(np.array(1), timedelta(seconds=0.5)), now=11.0)
    take(held, Act(np.array(2), timedelta(seconds=0.5)), now=11.4)
    override = held.override(11.8)
    assert override is not None
    assert override.action == 2


def test_a_safe_stop_comes_before_everybody_until_someone_resumes() -> None:
    held = controls()
    take(held, Act(np.array(2)))
    take(held, Stop(), teacher_id="bob")
    take(held, Act(np.array(1)), Release(), Pause())
    override = held.override(5.0)
    assert override is not None
    assert (override.teacher_id, override.action) == ("bob", SAFE)
    take(held, Resume())
    assert held.override(5.0) is None


def test_a_paused_stage_takes_as_many_steps_as_wanted() -> None:
    held = controls()
    assert not held.stands_still
    take(held, Pause())
    assert held.stands_still
    take(held, Advance(), Advance())
    for _ in range(2):
        assert not held.stands_still
        held.stepped()
    assert held.stands_still
    take(held, Resume())
    assert not held.stands_still


def test_steps_taken_while_it_runs_do_not_count_as_wanted() -> None:
    held = controls()
    held.stepped()
    take(held, Advance())
    assert not held.stands_still
    held.stepped()
    assert held.stands_still


def test_pace_and_reset_are_as_wanted() -> None:
    held = controls()
    take(held, Rate(3.0), Reset())
    assert held.rate == 3.0
    assert held.reset_wanted


def test_what_is_told_of_a_stage_is_what_has_been_made_of_it() -> None:
    held = controls()
    assert held.state == StageState(rate=15.0)
    take(held, Rate(3.0), Pause())
    assert held.state == StageState(rate=3.0, paused=True)
    # One step after the other is still a pause.
    take(held, Advance(), Advance())
    assert held.state.paused
    held.stepped()
    assert held.state.paused
    take(held, Stop())
    assert held.state == StageState(rate=3.0, paused=True, safe_stop=True)
    take(held, Resume())
    assert held.state == StageState(rate=3.0)
