"""What people have said of pairs of policies, counted.

Axis suffixes: I policy, J the other one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitl.events import Choice

FloatArray = NDArray[np.float64]

_POINTS = {Choice.FIRST: 1.0, Choice.SECOND: 0.0, Choice.TIE: 0.5}
"""Of the policy that was shown first."""


@dataclass(frozen=True, slots=True)
class Duel:
    """One answer to which of two policies is better, by their numbers from 0."""

    first: int
    """The one that was shown first."""
    second: int
    choice: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Answers of people, counted."""

    wins_IJ: FloatArray
    """How often I was preferred to J; a tie is half a win for each. Its diagonal is 0."""
    ties_IJ: NDArray[np.int64]
    """Ties of each pair, the same both ways."""
    first_preferred: int = 0
    """Answers for what was shown first: half of the decided ones where the place on the screen does not matter."""
    second_preferred: int = 0
    skipped: int = 0
    cannot_tell: int = 0

    @property
    def answers_IJ(self) -> FloatArray:
        """Answers that count of each pair, the same both ways."""
        return self.wins_IJ + self.wins_IJ.T

    @property
    def ties(self) -> int:
        """Of all pairs."""
        return int(self.ties_IJ.sum()) // 2

    @property
    def said(self) -> int:
        """All answers, with those that say nothing of which is better."""
        return self.first_preferred + self.second_preferred + self.ties + self.skipped + self.cannot_tell


def tally(duels: Iterable[Duel], *, policies: int) -> Tally:
    """Count answers.

    Args:
        duels: in any order.
        policies: how many there are.

    Raises:
        ValueError: one compares a policy with itself, or with one that there is not.
    """
    wins_IJ = np.zeros((policies, policies))
    ties_IJ = np.zeros((policies, policies), np.int64)
    counts = dict.fromkeys(Choice, 0)
    for duel in duels:
        one, other = duel.first, duel.second
        if one == other or not (0 <= one < policies and 0 <= other < policies):
            raise ValueError(f"policies {one} and {other} are no pair of {policies} policies")
        counts[duel.choice] += 1
        if duel.choice in _POINTS:
            wins_IJ[one, other] += _POINTS[duel.choice]
            wins_IJ[other, one] += 1.0 - _POINTS[duel.choice]
        if duel.choice == Choice.TIE:
            ties_IJ[one, other] += 1
            ties_IJ[other, one] += 1
    return Tally(
        wins_IJ=wins_IJ,
        ties_IJ=ties_IJ,
        first_preferred=counts[Choice.FIRST],
        second_preferred=counts[Choice.SECOND],
        skipped=counts[Choice.SKIP],
        cannot_tell=counts[Choice.CANNOT_TELL],
    )
