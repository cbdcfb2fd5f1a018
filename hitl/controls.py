"""The controls of a stage: what teachers have made of it. No clock of its own, and no connection."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hitl.stages import Act, Advance, Command, Pause, Rate, Release, Reset, Resume, StageState, Stop
from hitl.tensors import Array


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody acts instead of the policy."""

    teacher_id: str
    action: Array
    safe_stop: bool = False


class Controls:
    """Whether the stage stands still, how fast it goes, and who acts."""

    def __init__(self, *, rate: float, safe_action: Any) -> None:
        """Begin at a pace, in steps a second, with the policy acting."""
        self.rate = rate
        self.paused = False
        self.reset_wanted = False
        """Somebody wants a new episode; whoever makes it sets this back."""
        self._safe_action = safe_action
        self._steps_wanted = 0
        self._stopped_by = ""
        self._acting: Override | None = None
        self._acting_until = math.inf

    def take(self, command: Command, now: float) -> None:
        """Do what a teacher wants, at this time of a monotonic clock in seconds."""
        match command.control:
            case Act(action, hold):
                self._acting = Override(command.teacher_id, np.asarray(action))
                self._acting_until = math.inf if hold is None else now + hold.total_seconds()
            case Release():
                self._acting = None
            case Pause():
                self.paused = True
            case Resume():
                self.paused, self._stopped_by = False, ""
            case Advance():
                self.paused = True
                self._steps_wanted += 1
            case Reset():
                self.reset_wanted = True
            case Rate(rate):
                self.rate = rate
            case Stop():
                self._stopped_by = command.teacher_id

    @property
    def stands_still(self) -> bool:
        """Whether no step is wanted."""
        return self.paused and not self._steps_wanted

    @property
    def state(self) -> StageState:
        """What all who watch are told."""
        return StageState(paused=self.paused, rate=self.rate, safe_stop=bool(self._stopped_by))

    def stepped(self) -> None:
        """Take note of a step."""
        self._steps_wanted = max(self._steps_wanted - 1, 0)

    def override(self, now: float) -> Override | None:
        """Return who acts now instead of the policy; None where nobody does.

        A safe stop comes before a teacher who acts: it ends only when someone resumes.
        """
        if self._stopped_by:
            return Override(self._stopped_by, self._safe_action, safe_stop=True)
        if self._acting is not None and now >= self._acting_until:
            self._acting = None
        return self._acting
