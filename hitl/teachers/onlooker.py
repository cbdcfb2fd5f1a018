"""How a simulated live teacher looks at a stage: frame by frame, and whatever is due in between."""

import heapq
import logging
import threading
import time

import numpy as np

from hitl.client.watching import StageWatch, WatchedFrame
from hitl.errors import Busy, DeadlineExceeded, InvalidRequest, NotFound, NotYours, Unavailable
from hitl.teachers.interventions import Deed, Intervention, SeenFrame, SeenStep
from hitl.teachers.process import POLL_SECONDS

_log = logging.getLogger(__name__)

_REFUSALS = (NotFound, InvalidRequest, NotYours, Busy, Unavailable, DeadlineExceeded)
"""They concern one deed; the next may be taken."""


class Onlooker:
    """Looks at a stage and does each thing that this leads to at its time."""

    def __init__(self, intervention: Intervention) -> None:
        self._intervention = intervention
        self._newest: SeenFrame | None = None
        self._due: list[Deed] = []
        """A heap, by time."""
        self.done = 0
        """Deeds that the service took."""
        self.refused = 0
        """Deeds that it did not take; each is logged."""

    def look(self, watch: StageWatch, stop: threading.Event) -> None:
        """Look until `stop` is set.

        Raises:
            ConfigError: see `Intervention`.
            RequestError: there is nothing to look at, or the service refused for good.
        """
        while not stop.is_set():
            frame = watch.next(self._seconds_until_due())
            if frame is None:
                self._do_until(time.monotonic())
            else:
                self._see(frame)
        self._intervention.end()

    def _seconds_until_due(self) -> float:
        if not self._due:
            return POLL_SECONDS
        return min(max(self._due[0].seconds - time.monotonic(), 0.0), POLL_SECONDS)

    def _see(self, frame: WatchedFrame) -> None:
        last = self._newest
        # A connection that is made anew begins with what is on show, which may have been seen.
        if last is not None and frame.shown.frame <= last.number:
            return
        came = time.monotonic() - frame.offset.total_seconds()
        self._do_until(came)
        observation = np.asarray(frame.shown.observations["obs"], np.float32).reshape(-1)
        newest = self._newest = SeenFrame(frame, came, observation)
        deed = self._intervention.see(newest, _step_between(last, newest))
        if deed is None:
            return
        if deed.seconds <= came:
            self._do(deed, newest)
        else:
            heapq.heappush(self._due, deed)

    def _do_until(self, seconds: float) -> None:
        """Do what was due by then, on what was on show then."""
        while self._newest is not None and self._due and self._due[0].seconds <= seconds:
            self._do(heapq.heappop(self._due), self._newest)

    def _do(self, deed: Deed, shown: SeenFrame) -> None:
        try:
            deed.do(shown)
            self.done += 1
        except _REFUSALS as error:
            self.refused += 1
            _log.warning("refused: %s", error)


def _step_between(before: SeenFrame | None, after: SeenFrame) -> SeenStep | None:
    step = after.frame.shown.step
    if step is None or before is None or before.number != after.number - 1:
        return None
    return SeenStep(before, step.action, step.teacher_id)
