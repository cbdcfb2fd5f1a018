"""Every pair as often as every other one: what cleverer schedules are measured against.

Axis suffixes: I policy, J the other one.
"""

import numpy as np
from numpy.typing import NDArray

from hitl.voting.tally import FloatArray


def round_robin(
    wins_IJ: FloatArray, asked_IJ: NDArray[np.int64], rng: np.random.Generator, /
) -> tuple[int, int]:
    """Choose at random among the pairs that were asked about least; see `Schedule`."""
    one, other = np.triu_indices(len(asked_IJ), 1)
    asked = asked_IJ[one, other]
    chosen = rng.choice(np.flatnonzero(asked == asked.min()))
    return int(one[chosen]), int(other[chosen])
