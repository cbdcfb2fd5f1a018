"""DAgger's beta: how much the expert acts in each round; rounds count from 1.

Theory asks only that beta averaged over the rounds goes to 0.

Source: Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured prediction to no-regret online
learning", arXiv:1011.0686, section 3.1.
"""

from dataclasses import dataclass
from typing import Protocol


class BetaSchedule(Protocol):
    """Beta as a function of the round."""

    def __call__(self, round_number: int) -> float:
        """Return the probability that the expert acts, in [0, 1].

        Raises:
            ValueError: the round is below 1.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinearBeta:
    """From 1 in round 1 down by equal steps to 0 in round `rounds` + 1 and after."""

    rounds: int

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"beta falls over {self.rounds} rounds; give 1 or more")

    def __call__(self, round_number: int) -> float:
        """See `BetaSchedule`."""
        return max(0.0, 1 - _before(round_number) / self.rounds)


@dataclass(frozen=True, slots=True)
class ExponentialBeta:
    """`base` to the power of the rounds before this one."""

    base: float

    def __post_init__(self) -> None:
        if not 0 <= self.base < 1:
            raise ValueError(f"beta is multiplied by {self.base} each round; give a number in [0, 1)")

    def __call__(self, round_number: int) -> float:
        """See `BetaSchedule`."""
        return float(self.base ** _before(round_number))


@dataclass(frozen=True, slots=True)
class IndicatorBeta:
    """1 in round 1, then 0: the paper's version without a parameter."""

    def __call__(self, round_number: int) -> float:
        """See `BetaSchedule`."""
        return float(_before(round_number) == 0)


def _before(round_number: int) -> int:
    if round_number < 1:
        raise ValueError(f"there is no round {round_number}; rounds count from 1")
    return round_number - 1
