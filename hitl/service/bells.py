"""Waking those who wait for news of a run, at once and without missing any."""

import asyncio
from collections import defaultdict
from typing import Final

SLOW_POLL_SECONDS: Final = 1.0
"""How often to look even if no bell rings: another process may have written."""


class Bell:
    """One kind of news of one run. Remember `count`, look for news, and then wait for the next ring."""

    def __init__(self) -> None:
        self.count = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, after: int, timeout: float) -> None:
        """Return once the count is above `after`, or after `timeout` seconds."""
        if self.count > after:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        except TimeoutError:
            pass


class Bells:
    """The bells of all runs; rung from the event loop only."""

    def __init__(self) -> None:
        self.closing = False
        self._bells: defaultdict[tuple[str, str], Bell] = defaultdict(Bell)

    def questions(self, run_id: str) -> Bell:
        """Rings when a question can be had: asked, released, or left to another teacher."""
        return self._bells["questions", run_id]

    def journal(self, run_id: str) -> Bell:
        """Rings when an event is durable."""
        return self._bells["journal", run_id]

    def close(self) -> None:
        """Wake everybody for good: the service is shutting down."""
        self.closing = True
        for bell in self._bells.values():
            bell.ring()
