"""Candidate pairs: drawn at random among the segments that could be asked about.

Axis suffixes: S segment, C candidate pair.
"""

import numpy as np
from numpy.typing import NDArray


def draw_pairs(
    kind_S: NDArray[np.integer], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of different segments of one kind, the first of any; so the kinds keep their shares.

    Args:
        kind_S: a pair never mixes two kinds.
        count: pairs wanted; those whose first segment is the only one of its kind are left out.
        rng: draws them.

    Returns:
        Places of first and second segments, [C] each.
    """
    first_C = rng.integers(len(kind_S), size=count) if len(kind_S) else np.zeros(0, np.int64)
    second_C = first_C.copy()
    for kind in np.unique(kind_S):
        (rows,) = np.nonzero(kind_S == kind)
        (mine,) = np.nonzero(kind_S[first_C] == kind)
        if len(rows) > 1:
            place = np.searchsorted(rows, first_C[mine])
            step = rng.integers(1, len(rows), size=len(mine))
            second_C[mine] = rows[(place + step) % len(rows)]
    possible = first_C != second_C
    return first_C[possible], second_C[possible]


def newest_rows(version_S: NDArray[np.integer], share: float) -> NDArray[np.int64]:
    """Return the places of the newest segments: at least this share of all, and whole policy versions."""
    if not len(version_S):
        return np.zeros(0, np.int64)
    enough = max(1, int(np.ceil(share * len(version_S))))
    oldest = np.sort(version_S)[-enough]
    (rows,) = np.nonzero(version_S >= oldest)
    return rows


def allot(shares: list[float], count: int, rng: np.random.Generator) -> list[int]:
    """Divide a round's questions by shares, so that over many rounds each gets its share exactly.

    Chance decides about the rest that cannot be divided, by one number for all (systematic sampling). A single one
    gets everything, and nothing is drawn.
    """
    if len(shares) == 1:
        return [count]
    ends = np.concatenate([[0.0], np.cumsum(shares) / sum(shares)]) * count
    ends[-1] = count
    places = np.floor(ends + rng.random())
    return [int(number) for number in np.diff(places)]
