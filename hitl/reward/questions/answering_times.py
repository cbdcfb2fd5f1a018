"""How long teachers take for a question, by the length of its segments."""

from collections import defaultdict
from statistics import median

_DECIDING_SECONDS = 2.0
_WATCHING_SECONDS = 0.1
"""For each step of one segment; both are shown side by side."""
_PRIOR_ANSWERS = 5
"""Answers that weigh as much as this guess."""


class AnsweringTimes:
    """What is expected before anybody has answered, and then more and more the median of those who have.

    The median, for whoever fetches a coffee in between must not make a length look slow.
    """

    def __init__(self) -> None:
        self._known: dict[int, list[float]] = defaultdict(list)

    def take(self, *, steps: int, seconds: float) -> None:
        """Take note of an answer about segments of so many steps; one of 0 seconds was not timed, and is left out."""
        if seconds > 0:
            self._known[steps].append(seconds)

    def expected(self, steps: int) -> float:
        """Return the seconds that a question about segments of so many steps will take; above 0."""
        guess = _DECIDING_SECONDS + _WATCHING_SECONDS * steps
        known = self._known.get(steps)
        if not known:
            return guess
        return (_PRIOR_ANSWERS * guess + len(known) * median(known)) / (_PRIOR_ANSWERS + len(known))
