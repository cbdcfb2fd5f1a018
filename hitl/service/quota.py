"""How much of something each teacher may do in a while: a token bucket."""

import time
from collections.abc import Callable

from hitl.errors import Busy

_MAX_REMEMBERED = 1024


class Quota:
    """So many at once, and so many a second after that, for each name."""

    def __init__(self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._at_once, self._clock = per_second, at_once, clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Use one.

        Raises:
            Busy: there are none left.
        """
        now = self._clock()
        left, since = self._left.get(name, (float(self._at_once), now))
        left = min(left + (now - since) * self._per_second, self._at_once)
        if left < 1.0:
            self._left[name] = left, now
            raise Busy(
                f"more than {self._per_second:.0f} a second from {name}; "
                f"try again in {(1.0 - left) / self._per_second:.3f} s"
            )
        if len(self._left) >= _MAX_REMEMBERED and name not in self._left:
            self._left.clear()
        self._left[name] = left - 1.0, now
