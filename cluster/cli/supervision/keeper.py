"""Keeping one process alive: it is started again when it dies, later each time, up to a limit."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cluster.cli.supervision.processes import Child, Command, ending

State = Literal["running", "restarting", "ended", "given up"]

DEATHS_WITHOUT_PROGRESS = 5
"""So many in a row, and it is not tried again."""

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class Keeper:
    """Keeps a process alive."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        log: Path,
        *,
        final_codes: frozenset[int] = frozenset(),
        progress: Callable[[], float],
        note: Callable[[str], None],
    ) -> None:
        """Start the process.

        Args:
            name: for people.
            command: what to start; asked again for each start.
            log: where it writes.
            final_codes: exit codes after which it is not started again.
            progress: how far the run has come by this process; deaths are counted since it last grew.
            note: is told what happens.
        """
        self.name = name
        self.state: State = "running"
        self.restarts = 0
        self._command, self._log, self._final_codes = command, log, final_codes
        self._progress, self._note = progress, note
        self._deaths = 0
        self._best = progress()
        self._due = 0.0
        self.child = Child(command(), log)

    def tend(self) -> None:
        """Look after the process; to be called often."""
        if self.state == "running":
            code = self.child.exit_code()
            if code is not None:
                self._bury(code)
        elif self.state == "restarting" and time.monotonic() >= self._due:
            self.restarts += 1
            self.child = Child(self._command(), self._log)
            self.state = "running"

    def _bury(self, code: int) -> None:
        if code in self._final_codes:
            self.state = "ended"
            return
        now_at = self._progress()
        self._deaths = 1 if now_at > self._best else self._deaths + 1
        self._best = max(self._best, now_at)
        if self._deaths >= DEATHS_WITHOUT_PROGRESS:
            self.state = "given up"
            return
        pause = min(_FIRST_PAUSE_SECONDS * 4 ** (self._deaths - 1), _LONGEST_PAUSE_SECONDS)
        self._due = time.monotonic() + pause
        self.state = "restarting"
        self._note(f"{self.name} died ({ending(code)}); starting it again")

    def obituary(self) -> str:
        """Say why it was given up, with what it said last."""
        words = "\n".join(f"  {line}" for line in self.child.last_words(20))
        return (
            f"{self.name} died {DEATHS_WITHOUT_PROGRESS} times without getting any further; "
            f"its last words (all of them are in {self._log}):\n{words}"
        )
