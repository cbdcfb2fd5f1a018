"""The controls of a stage: a lease that one teacher has, and that ends by time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import numpy as np

from hitl.errors import InvalidRequest, NotYours
from hitl.stages import Act, ActionSpace, Command, Control, Release, Stop, Take

_DEFAULT_LEASE: Final = timedelta(seconds=10)
_LONGEST_LEASE: Final = timedelta(minutes=1)


class Lease:
    """Who has the controls of one stage, and what they do with them."""

    def __init__(
        self,
        stage_id: str,
        action_space: ActionSpace,
        *,
        tell: Callable[[Command], None],
        changed: Callable[[], None],
    ) -> None:
        """Begin with nobody.

        Args:
            stage_id: names the stage to people.
            action_space: of its actions.
            tell: passes a command on to the stage.
            changed: called when somebody else has the controls.
        """
        self._stage_id, self._action_space = stage_id, action_space
        self._tell, self._changed = tell, changed
        self._holder = ""
        self._end = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def holder(self) -> str:
        """Who has the controls; empty: nobody."""
        return self._holder if asyncio.get_running_loop().time() < self._end else ""

    def use(self, teacher_id: str, control: Control) -> timedelta | None:
        """Use the controls.

        Returns:
            For how long they are the caller's; None where they are not.

        Raises:
            NotYours: another teacher has them, or the caller would act without having them.
            InvalidRequest: the action is none of the task's, or the lease is too long.
        """
        holder = self.holder
        if holder not in ("", teacher_id) and not isinstance(control, Stop):
            raise NotYours(
                f"{holder} has the controls of stage {self._stage_id}; they are free again when released, or "
                f"within {self._end - asyncio.get_running_loop().time():.0f} s without a word"
            )
        if isinstance(control, Take):
            return self._lease(teacher_id, _DEFAULT_LEASE if control.lease is None else control.lease)
        if isinstance(control, Release):
            # Also where nobody holds them: a lost lease may have left an action behind.
            self._holder = self._holder or teacher_id
            self._set_holder("", 0.0)
            return None
        if isinstance(control, Act):
            if holder != teacher_id:
                raise NotYours(f"the controls of stage {self._stage_id} are not yours; take them first")
            self._action_space.check(np.asarray(control.action)[None], "control.act.action")
        self._tell(Command(teacher_id, control))
        if self.holder != teacher_id:
            return None
        return timedelta(seconds=self._end - asyncio.get_running_loop().time())

    def _lease(self, teacher_id: str, lease: timedelta) -> timedelta:
        if not timedelta(0) < lease <= _LONGEST_LEASE:
            raise InvalidRequest(f"control.take.lease: {lease} is not above 0 and at most {_LONGEST_LEASE}")
        self._set_holder(teacher_id, lease.total_seconds())
        return lease

    def _set_holder(self, teacher_id: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._holder not in ("", teacher_id):
            self._tell(Command(self._holder, Release()))
        self._holder, self._end = teacher_id, loop.time() + seconds
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._lease_over, teacher_id) if teacher_id else None
        self._changed()

    def _lease_over(self, teacher_id: str) -> None:
        self._holder = ""
        self._tell(Command(teacher_id, Release()))
        self._changed()
