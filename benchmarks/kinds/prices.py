"""What each kind of feedback costs a teacher, in seconds: fixed before anything was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

WATCHED_PER_SECOND = 5
"""Steps at which people watch: as on the stage of deploy/runs/cartpole_tamer.yaml, slow enough to react."""
PLAYED_PER_SECOND = 15
"""Steps at which people play."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of answers, or of steps that are watched or played."""

    each: float
    """Seconds for one of them."""
    begin: float = 0.0
    """Seconds before the first one."""
    least: int = 1
    """Fewer at once are not worth beginning with."""
    most: int | None = None
    """At once; None: there is no end."""
    reason: str

    def bought(self, seconds: float) -> int:
        """Return how many can be had at once for so many seconds; 0 if these are too few to begin."""
        count = max(0, math.floor((seconds - self.begin) / self.each + _ROUNDING))
        return 0 if count < self.least else min(count, self.most or count)

    def cost(self, count: int) -> float:
        """Return the seconds that so many at once take."""
        return self.begin + self.each * count if count else 0.0


PRICES: Mapping[str, Price] = {
    "comparisons": Price(
        each=4.0,
        reason="People who compared clips of 1 to 2 s took 3 to 5 s for a pair (Christiano et al. 2017).",
    ),
    "rankings": Price(
        each=10.0,
        reason="Four clips are looked at, as in two comparisons, and two more seconds go into the order of the pairs.",
    ),
    "ratings": Price(each=3.0, reason="One clip instead of two, and a scale to think about."),
    "goals": Price(each=2.0, reason="One still picture, and yes or no."),
    "corrections": Price(
        each=3.0, reason="One still picture, and who was not at the controls must find out what is going on."
    ),
    "signals": Price(
        each=1 / WATCHED_PER_SECOND,
        reason="Keys are pressed while watching, which takes as long as it takes.",
    ),
    "demonstrations": Price(
        each=1 / PLAYED_PER_SECOND,
        begin=5.0,
        least=5 * PLAYED_PER_SECOND,
        most=500,
        reason="Playing, up to a whole episode, after 5 s to take the controls; not for less than 5 s of play.",
    ),
}
KINDS = tuple(PRICES)


class Purses:
    """Seconds that a teacher has left for each kind."""

    def __init__(self) -> None:
        """Begin with empty ones."""
        self.left = dict.fromkeys(KINDS, 0.0)
        """By kind; what does not suffice for anything is kept for the next round."""

    def fill(self, seconds: float, shares: Mapping[str, float]) -> None:
        """Share so many more seconds; shares are by kind, in any unit."""
        whole = sum(shares.values())
        for kind, share in shares.items():
            self.left[kind] += seconds * share / whole

    def affords(self, kind: str) -> int:
        """Return how many of a kind can be had at once."""
        return PRICES[kind].bought(self.left[kind])

    def pay(self, kind: str, count: int) -> None:
        """Take what so many at once cost."""
        self.left[kind] -= PRICES[kind].cost(count)
