"""How alike two segments look: where people err.

Axis suffixes: L step of a segment, O belongs to an observation.
"""

import numpy as np

from hitl.tensors import Array


def likeness(first_LO: Array, second_LO: Array) -> float:
    """Return how alike two segments look: 1 if they do in the mean, towards 0 the further apart they are.

    Args:
        first_LO: observations of one.
        second_LO: observations of the other.

    Returns:
        1 / (1 + d^2), where d is the distance of the means, each number in standard deviations within both segments.
    """
    first, second = (np.asarray(part, np.float64).reshape(len(part), -1) for part in (first_LO, second_LO))
    apart_O = first.mean(0) - second.mean(0)
    spread_O = np.concatenate([first - first.mean(0), second - second.mean(0)]).std(0)
    # What does not change at all tells them apart if it differs.
    distance_O = np.divide(apart_O, spread_O, out=np.where(apart_O == 0, 0.0, 1e6), where=spread_O > 0)
    return 1.0 / (1.0 + float((distance_O**2).mean()))
