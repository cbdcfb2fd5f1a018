"""A call as the handlers see it: who calls, and how long they wait. No transport."""

import time
from dataclasses import dataclass

from hitl.errors import Forbidden
from hitl.tokens import Principal


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, and when they give up (on the monotonic clock; None: never)."""

    principal: Principal
    deadline: float | None = None

    def seconds_left(self) -> float:
        """Return the time until the caller gives up; infinite if never."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def check_run(self, run_id: str) -> None:
        """Check that the caller's token is good for this run.

        Raises:
            Forbidden: it is not.
        """
        if not self.principal.may_use(run_id):
            raise Forbidden(f"this token is not good for run {run_id}; ask for one that names it")
