"""How often each member of an ensemble counts what trains it: a fixed function of names.

Axis suffixes: K member, E piece of evidence.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.splits import generator


def bootstrap_weights(names: Sequence[str], *, members: int, seed: int) -> Tensor:
    """Return how often each member counts what has these names, [K, E]: the Poisson bootstrap.

    Each weight is a function of the name alone, so a rebuilt model draws the same ones.
    Source: Oza and Russell 2001, "Online bagging and boosting", section 3.
    """
    weights = np.empty((members, len(names)), np.float32)
    for column, name in enumerate(names):
        weights[:, column] = _weights(f"{seed}/{name}", members)
    return torch.from_numpy(weights)


@functools.lru_cache(maxsize=2**16)
def _weights(name: str, members: int) -> NDArray[np.int64]:
    drawn: NDArray[np.int64] = generator(name).poisson(1.0, members)
    return drawn
