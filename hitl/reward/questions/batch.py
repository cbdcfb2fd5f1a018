"""Questions that are asked together: no segment in two of them, and no two nearly alike.

Axis suffixes: C candidate pair, B pair to choose from, N any of them, 2 the segments of a pair, F feature.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hitl.reward.questions.distances import medoids, pair_distances, typical_distance

_TYPICAL_OF = 100
"""Candidates whose distances tell what is usual."""


class Batch:
    """What is chosen so far."""

    def __init__(
        self, look: Callable[[NDArray[np.int64]], NDArray[np.float64]], *, least_distance: float
    ) -> None:
        """Begin without any.

        Args:
            look: returns where segments lie, [S, F], by their places.
            least_distance: pairs no further apart than this share of the usual distance are nearly alike; 0 leaves
                them all in.
        """
        self._look, self._least_distance = look, least_distance
        self._used: set[int] = set()
        self._place_N2F: list[NDArray[np.float64]] = []
        self._near: float | None = None

    def see(self, pair_C2: NDArray[np.int64]) -> None:
        """Learn from candidates, in random order, which distance is usual; the first ones count."""
        if self._least_distance and self._near is None and len(pair_C2):
            usual = typical_distance(self._places(pair_C2[:_TYPICAL_OF]))
            self._near = self._least_distance * usual

    def add(self, pair_2: NDArray[np.int64]) -> bool:
        """Add a pair if it goes with what is chosen; returns whether it does."""
        if not self._used.isdisjoint(pair_2.tolist()):
            return False
        if self._near is not None:
            place_12F = self._places(pair_2[None])
            if self._is_near(place_12F)[0]:
                return False
            self._place_N2F.append(place_12F)
        self._used.update(pair_2.tolist())
        return True

    def representatives(self, pair_B2: NDArray[np.int64], count: int) -> list[int]:
        """Return which of these pairs, so many at most, stand for all of them and go with what is chosen."""
        place_B2F = self._places(pair_B2)
        distance_BB = pair_distances(place_B2F, place_B2F)
        clash_BB = (pair_B2[:, None, :, None] == pair_B2[None, :, None, :]).any((2, 3))
        free_B: NDArray[np.bool_] = np.logical_not(np.isin(pair_B2, list(self._used)).any(1))
        if self._near is not None:
            clash_BB |= distance_BB <= self._near
            free_B &= ~self._is_near(place_B2F)
        return medoids(distance_BB, count, clash_BB=clash_BB, free_B=free_B)

    def _is_near(self, place_B2F: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each pair is nearly like one that is chosen, [B]."""
        if not self._place_N2F:
            return np.zeros(len(place_B2F), bool)
        near_BN = pair_distances(place_B2F, np.concatenate(self._place_N2F)) <= (self._near or 0.0)
        near_B: NDArray[np.bool_] = near_BN.max(1)
        return near_B

    def _places(self, pair_C2: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where pairs lie, [C, 2, F]."""
        rows_S, inverse = np.unique(pair_C2, return_inverse=True)
        return self._look(rows_S)[inverse.reshape(pair_C2.shape)]
