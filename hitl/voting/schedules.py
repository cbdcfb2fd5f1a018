"""Which two policies to compare next: the seam, and the table of all schedules."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hitl.voting.double_thompson import double_thompson
from hitl.voting.round_robin import round_robin
from hitl.voting.tally import FloatArray

ScheduleName = Literal["double_thompson", "round_robin"]


class Schedule(Protocol):
    """Chooses a pair."""

    def __call__(
        self, wins_IJ: FloatArray, asked_IJ: NDArray[np.int64], rng: np.random.Generator, /
    ) -> tuple[int, int]:
        """Return two different policies, in no order that means anything.

        Args:
            wins_IJ: as in `Tally`.
            asked_IJ: how often each pair was asked about so far, answered or not; the same both ways.
            rng: breaks ties, and draws where the schedule does.
        """
        ...


SCHEDULES: dict[ScheduleName, Schedule] = {"double_thompson": double_thompson, "round_robin": round_robin}
