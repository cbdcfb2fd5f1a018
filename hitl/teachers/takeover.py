"""A simulated live teacher who takes the controls from a policy that goes wrong."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from hitl.errors import RequestError
from hitl.stages import Act, Control, Release, Take
from hitl.teachers.interventions import Deed, SeenFrame, SeenStep
from hitl.teachers.judging import ExpertJudge
from hitl.teachers.live import LiveTeacher

_LEASE = timedelta(seconds=10)
_RENEW_SECONDS = 4.0


class Takeover:
    """Takes the controls from a policy that has been wrong for a while, does it right for a while, and lets go.

    An `Intervention`. Mistakes are of signals and corrections alone.
    """

    def __init__(
        self,
        teacher: LiveTeacher,
        judge: ExpertJudge,
        control: Callable[[Control], object],
        *,
        patience_steps: int,
        steps: int,
        when_asked: bool = False,
    ) -> None:
        """Prepare.

        Args:
            teacher: says when the controls are taken, once patience is at its end.
            judge: its expert acts.
            control: uses the controls; raises a `RequestError` where it is refused.
            patience_steps: steps on end that the policy may be wrong, of those that were seen in one episode.
            steps: that the controls are held for.
            when_asked: the policy says itself when it wants help, and when no longer; patience and steps say nothing.
        """
        self._teacher, self._judge, self._control = teacher, judge, control
        self._patience_steps, self._steps, self._when_asked = patience_steps, steps, when_asked
        self._wrong_steps = 0
        self._is_reaching = False
        """For the controls; the hand has not arrived yet."""
        self._end_frame: int | None = None
        """At which the controls are released; None: they are not held."""
        self._renew_at = 0.0

    def see(self, newest: SeenFrame, step: SeenStep | None) -> Deed | None:
        """See `Intervention`."""
        if self._end_frame is not None:
            return Deed(newest.came, self._go_on)
        if self._is_reaching:
            return None
        wanted = newest.frame.shown.asks_help if self._when_asked else self._loses_patience(newest, step)
        press = self._teacher.watch(newest.came, float(wanted))
        if press is None:
            return None
        self._is_reaching = True
        return Deed(press.seconds, self._begin)

    def _loses_patience(self, newest: SeenFrame, step: SeenStep | None) -> bool:
        if newest.frame.shown.step is None:
            self._wrong_steps = 0
        if step is None or step.teacher_id:
            return False
        is_right = self._judge.opinion(step.before.observation, step.action) > 0.0
        self._wrong_steps = 0 if is_right else self._wrong_steps + 1
        return self._wrong_steps >= self._patience_steps

    def _begin(self, shown: SeenFrame) -> None:
        self._is_reaching, self._wrong_steps = False, 0
        self._take_and_act(shown, shown.number + self._steps, take=True)

    def _go_on(self, shown: SeenFrame) -> None:
        if self._end_frame is None:
            return
        asks = shown.frame.shown.asks_help
        if not asks if self._when_asked else shown.number >= self._end_frame:
            self._end_frame = None
            self._control(Release())
        else:
            self._take_and_act(shown, self._end_frame, take=shown.came >= self._renew_at)

    def _take_and_act(self, shown: SeenFrame, end_frame: int, *, take: bool) -> None:
        act = Act(self._judge.wanted(shown.observation))
        # Not held unless nothing is refused.
        self._end_frame = None
        if take:
            self._control(Take(_LEASE))
            self._renew_at = shown.came + _RENEW_SECONDS
        self._control(act)
        self._end_frame = end_frame

    def end(self) -> None:
        """See `Intervention`."""
        if self._end_frame is not None:
            self._end_frame = None
            with suppress(RequestError):
                self._control(Release())
