"""What people have said that no fit has seen yet."""

import time
from collections.abc import Container

from hitl.events import Correction, Event, Relabel, Signal


class Unlearnt:
    """What has come, by what it wants: a quick fit while its teacher is watching, or a whole one."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.live = 0
        """Pieces of evidence whose teacher is watching."""
        self.since: float | None = None
        """When something came that wants a whole fit, by the monotonic clock; None where nothing has."""

    def take(self, event: Event | None, kinds: Container[str]) -> None:
        """Take note of what has come; `kinds` are those that the reward model learns from."""
        if isinstance(event, Signal):
            self.live += "signals" in kinds
        elif isinstance(event, Correction):
            self.live += len(event.actions) if "corrections" in kinds else 0
        elif isinstance(event, Relabel) and "corrections" not in kinds:
            return
        else:
            self.want_fit()

    def want_fit(self) -> None:
        """Take note that a whole fit is wanted."""
        if self.since is None:
            self.since = time.monotonic()

    def clear(self) -> None:
        """All has been learnt."""
        self.live, self.since = 0, None
