"""What the keys of a person in front of a stage do. The service is called in a thread, so nobody waits for it."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from rich.markup import escape

from hitl.client.teaching import TeacherClient
from hitl.client.watching import WatchedFrame
from hitl.errors import RequestError
from hitl.stages import (
    Act,
    ActionSpace,
    Advance,
    Control,
    Pause,
    Rate,
    Release,
    Reset,
    Resume,
    StageState,
    Stop,
    Take,
)

_LEASE = timedelta(seconds=10)
_RENEW_SECONDS = 4.0
_FASTER = 1.5
_HEARD_SECONDS = 1.0
"""After which a stage has said that it goes on, or that it stands still."""
_LATE_SECONDS = 1.0
_LEAVE_SECONDS = 3.0


@dataclass(slots=True)
class Person:
    """What one person at the terminal has done so far."""

    client: TeacherClient
    run_id: str
    stage_id: str
    space: ActionSpace
    frame: WatchedFrame | None = None
    """The last one drawn."""
    state: StageState = field(default_factory=StageState)
    """Of the stage, by its last word."""
    heard: float = -math.inf
    """When that came, in seconds of the monotonic clock."""
    words: str = ""
    """What became of the last key, as markup."""
    signals: int = 0
    """That were acknowledged."""
    corrections: int = 0
    """The same."""
    _has_controls: bool = False
    _stands_still: bool = False
    """Whether it was to stand still, paused or stopped, by this person's last key about it."""
    _wished: float = -math.inf
    _renewed: float = 0.0
    _called: float = 0.0
    _keys: list[Future[None]] = field(default_factory=list)
    """On their way."""
    _caller: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="keys")
    )
    """One thread, which keeps keys in their order."""

    def press(self, pressed: str) -> None:
        """Do what a key means, in the thread; what is refused is said in `words`."""
        if self.frame is not None:
            frame, offset = self.frame, self.frame.offset
            self._keys.append(self._call(lambda: self._do(pressed, frame, offset)))

    def keep_controls(self, now: float) -> None:
        """Say in time that the controls are still wanted."""
        if self._has_controls and now - self._renewed >= _RENEW_SECONDS:
            self._renewed = now
            self._call(self._take_again)

    @property
    def late(self) -> int:
        """Keys of which nothing was heard for a while; 0 while the service answers."""
        return self._unheard() if time.monotonic() - self._called > _LATE_SECONDS else 0

    def leave(self) -> int:
        """Give the controls back; returns how many keys the service has not heard of."""
        wait([self._call(self._give_back)], _LEAVE_SECONDS)
        unheard = self._unheard()
        self._caller.shutdown(wait=False, cancel_futures=True)
        return unheard

    def _unheard(self) -> int:
        self._keys[:] = [key for key in self._keys if not key.done()]
        return len(self._keys)

    def _call(self, act: Callable[[], None]) -> Future[None]:
        if not self._unheard():
            self._called = time.monotonic()

        def safely() -> None:
            try:
                act()
            except RequestError as error:
                self.words = f"[yellow]{escape(str(error))}[/]"
            self._called = time.monotonic()

        return self._caller.submit(safely)

    def _do(self, pressed: str, frame: WatchedFrame, offset: timedelta) -> None:
        if pressed in "+=-":
            frame.signal(-1.0 if pressed == "-" else 1.0, offset=offset)
            self.signals += 1
            self.words = "[red]bad[/]" if pressed == "-" else "[green]good[/]"
        elif pressed.isdigit():
            self._act(int(pressed), frame, offset)
        elif pressed == "t":
            self._control(Release() if self._has_controls else Take(_LEASE))
            self._has_controls = not self._has_controls
            self._renewed = time.monotonic()
            self.words = "you have the controls" if self._has_controls else "the policy acts"
        elif pressed == " ":
            still = self._is_still()
            self._wish(Resume() if still else Pause(), still=not still)
            self.words = "" if still else "standing still"
        elif pressed in ".s":
            self._wish(Advance() if pressed == "." else Stop(), still=True)
            self.words = "one step; space goes on" if pressed == "." else "safe stop; space ends it"
        elif pressed == "n":
            self._control(Reset())
            self.words = "a new episode"
        elif pressed in "<>," and not self.state.rate:
            self.words = "[yellow]its program sets the pace[/]"
        elif pressed in "<>,":
            rate = self.state.rate
            self._control(Rate(rate * _FASTER if pressed == ">" else rate / _FASTER))

    def _is_still(self) -> bool:
        """Whether the stage is paused or stopped: by its own word, or by the last wish where that is newer."""
        if self.heard < self._wished or time.monotonic() < self._wished + _HEARD_SECONDS:
            return self._stands_still
        return self.state.paused or self.state.safe_stop

    def _wish(self, control: Control, *, still: bool) -> None:
        self._control(control)
        self._stands_still, self._wished = still, time.monotonic()

    def _act(self, number: int, frame: WatchedFrame, offset: timedelta) -> None:
        if not self.space.single:
            self.words = "[yellow]these actions are no single numbers; use the client library[/]"
        elif self._has_controls:
            self._control(Act(np.array(number)))
            self.words = f"you do {number}"
        else:
            frame.correct(number, offset=offset)
            self.corrections += 1
            self.words = f"do {number} instead"

    def _control(self, control: Control) -> None:
        self.client.control(self.run_id, self.stage_id, control)

    def _take_again(self) -> None:
        try:
            self._control(Take(_LEASE))
        except RequestError:
            self._has_controls = False
            raise

    def _give_back(self) -> None:
        if self._has_controls:
            self._has_controls = False
            self._control(Release())
