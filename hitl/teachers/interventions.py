"""What a simulated live teacher does about the steps that it sees: signals and corrections; see also `takeover`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from hitl.client.watching import WatchedFrame
from hitl.errors import ConfigError
from hitl.teachers.judging import ExpertJudge, Judge, Observation
from hitl.teachers.live import LiveTeacher
from hitl.tensors import Array


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A frame, with the time at which it came in seconds of `time.monotonic`."""

    frame: WatchedFrame
    came: float
    observation: Observation

    @property
    def number(self) -> int:
        """Of the frame."""
        return self.frame.shown.frame

    def offset(self, seconds: float) -> timedelta:
        """Return how long the frame has been in front of the teacher at that time."""
        return timedelta(seconds=seconds - self.came)


@dataclass(frozen=True, slots=True)
class SeenStep:
    """A step that was seen from begin to end."""

    before: SeenFrame
    """Shows the state in which the action was taken."""
    action: Array
    teacher_id: str
    """Who acted instead of the policy; empty: nobody did."""


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """Something that a teacher does."""

    seconds: float
    """When, on the clock of `SeenFrame`."""
    do: Callable[[SeenFrame], object] = field(compare=False)
    """Takes the newest frame seen by then."""


class Intervention(Protocol):
    """What a teacher makes of what they see."""

    def see(self, newest: SeenFrame, step: SeenStep | None) -> Deed | None:
        """See a frame and the step that led there; None where the frame before was not seen.

        Returns:
            What it makes the teacher do; None for nothing.

        Raises:
            ConfigError: the teacher's judge or expert says what cannot be.
        """
        ...

    def end(self) -> None:
        """Leave the stage as it was found."""
        ...


class Signals:
    """Says good and bad, about the frame that is on show when the key is pressed."""

    def __init__(self, teacher: LiveTeacher, judge: Judge) -> None:
        self._teacher, self._judge = teacher, judge

    def see(self, newest: SeenFrame, step: SeenStep | None) -> Deed | None:
        """See `Intervention`."""
        if step is None:
            return None
        opinion = self._judge.opinion(step.before.observation, step.action)
        if not -1.0 <= opinion <= 1.0:
            raise ConfigError(f"{type(self._judge).__name__}.opinion is {opinion}; return -1 to 1")
        press = self._teacher.watch(newest.came, opinion)
        if press is None:
            return None
        return Deed(
            press.seconds,
            lambda shown: shown.frame.signal(press.value, offset=shown.offset(press.seconds)),
        )

    def end(self) -> None:
        """See `Intervention`."""


class Corrections:
    """Says what to do in the state in which the policy did something else. By mistake, what the policy did."""

    def __init__(self, teacher: LiveTeacher, judge: ExpertJudge) -> None:
        self._teacher, self._judge = teacher, judge

    def see(self, newest: SeenFrame, step: SeenStep | None) -> Deed | None:
        """See `Intervention`."""
        if step is None or step.teacher_id:
            return None
        before, wanted = step.before, self._judge.wanted(step.before.observation)
        press = self._teacher.watch(newest.came, 0.0 if self._judge.agree(wanted, step.action) else 1.0)
        if press is None:
            return None
        action = wanted if press.value > 0.0 else step.action
        return Deed(
            press.seconds, lambda _: before.frame.correct(action, offset=before.offset(press.seconds))
        )

    def end(self) -> None:
        """See `Intervention`."""
