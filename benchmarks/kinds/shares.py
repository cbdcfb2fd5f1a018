"""How a teacher's seconds are shared over kinds."""

from collections.abc import Mapping

from benchmarks.kinds.prices import KINDS

BEST_FIRST = ("demonstrations", "signals", "goals", "rankings", "corrections", "ratings", "comparisons")
"""By the mean score of each alone on seed 100, which is none of those that are measured."""
_NEXT = 0.5
"""What each has of the share of the one before it."""
MIXES: Mapping[str, Mapping[str, float]] = {
    "equal_shares": dict.fromkeys(KINDS, 1.0),
    "mix": {kind: _NEXT**place for place, kind in enumerate(BEST_FIRST)},
}
"""Shares of the seconds, by kind, in any unit."""
ARMS: Mapping[str, Mapping[str, float]] = {**{kind: {kind: 1.0} for kind in KINDS}, **MIXES}
"""Each kind alone, and the mixes."""
