"""Choosing pairs of segments that are worth a person's time.

Axis suffixes: K member, S segment, C candidate pair.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.reward.questions.strategies import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPair:
    """A pair worth asking about, by the rows of its segments."""

    first: int
    second: int
    value: float


def choose_pairs(
    *,
    return_KS: Tensor,
    heldout_S: NDArray[np.bool_],
    count: int,
    candidates: int,
    strategy: Strategy,
    rng: np.random.Generator,
) -> list[ChosenPair]:
    """Choose pairs among random candidates; each segment appears at most once.

    Args:
        return_KS: each member's predicted return of each segment, in link units.
        heldout_S: whether a segment only judges; a pair never mixes the two kinds.
        count: pairs wanted; fewer come back where the segments do not suffice.
        candidates: pairs to consider.
        strategy: values them.
        rng: draws them.

    Returns:
        Best first.
    """
    first_C, second_C = _candidates(heldout_S, candidates, rng)
    if not len(first_C):
        return []
    margin_KC = return_KS[:, torch.from_numpy(first_C)] - return_KS[:, torch.from_numpy(second_C)]
    value_C = strategy(margin_KC, rng)
    chosen: list[ChosenPair] = []
    used: set[int] = set()
    for index in np.argsort(-value_C, kind="stable"):
        first, second = int(first_C[index]), int(second_C[index])
        if len(chosen) == count:
            break
        if first not in used and second not in used:
            used |= {first, second}
            chosen.append(ChosenPair(first=first, second=second, value=float(value_C[index])))
    return chosen


def _candidates(
    heldout_S: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of different segments of one kind, the first of any; so the kinds keep their shares."""
    first_C = rng.integers(len(heldout_S), size=count) if len(heldout_S) else np.zeros(0, np.int64)
    second_C = first_C.copy()
    for kind in (False, True):
        (rows,) = np.nonzero(heldout_S == kind)
        (mine,) = np.nonzero(heldout_S[first_C] == kind)
        if len(rows) > 1:
            place = np.searchsorted(rows, first_C[mine])
            step = rng.integers(1, len(rows), size=len(mine))
            second_C[mine] = rows[(place + step) % len(rows)]
    possible = first_C != second_C
    return first_C[possible], second_C[possible]
