"""What a question is worth: the strategies.

Axis suffixes: K member, C candidate pair.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Strategy(Protocol):
    """How candidate pairs are valued."""

    def __call__(self, margin_KC: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the value of each pair, [C]; higher is asked first."""
        ...


def disagreement(margin_KC: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """Variance over members of the probability that the first segment wins.

    Source: Christiano et al. 2017, arXiv:1706.03741, section 2.2.4.
    """
    probability_KC = torch.sigmoid(margin_KC.double())
    value: NDArray[np.float64] = probability_KC.var(0, correction=0).numpy()
    return value


def at_random(margin_KC: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """Any pair is as good as another: the baseline."""
    return rng.random(margin_KC.shape[1])


STRATEGIES: dict[str, Strategy] = {"disagreement": disagreement, "random": at_random}
