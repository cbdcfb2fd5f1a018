"""How the rewards of an ensemble's members become one: where they disagree, a policy need not be given their mean.

Axis suffixes: K member, P any leading axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

ConservatismKind = Literal["mean", "deviation", "worst"]

_NAME = "conservatism"
_KINDS: tuple[ConservatismKind, ...] = get_args(ConservatismKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conservatism:
    """What counts of the members' rewards. Each version of the model carries its own, and all who use it obey it.

    Source: Coste et al. 2024, "Reward model ensembles help mitigate overoptimization", arXiv:2310.02743, section 3:
    the mean, uncertainty-weighted optimisation (with the variance in the place of the standard deviation, which is in
    the reward's own unit) and worst-case optimisation.
    """

    kind: ConservatismKind = "mean"
    coefficient: float = 1.0
    """deviation: lambda, of the standard deviation over the members, whose mean square is over K."""

    def combined(self, reward_KP: Any) -> Any:
        """Return one reward of each step, [P], from NumPy's arrays as from torch's tensors."""
        if self.kind == "worst":
            least = reward_KP.min(0)
            return getattr(least, "values", least)
        mean_P = reward_KP.mean(0)
        if self.kind == "mean":
            return mean_P
        return mean_P - self.coefficient * ((reward_KP - mean_P) ** 2).mean(0) ** 0.5

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what stands in a version's arrays; nothing for the mean."""
        if self.kind == "mean":
            return {}
        return {_NAME: np.array([_KINDS.index(self.kind), self.coefficient])}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Conservatism":
        """Return what a version's arrays say."""
        if _NAME not in arrays:
            return cls()
        kind, coefficient = arrays[_NAME].tolist()
        return cls(kind=_KINDS[int(kind)], coefficient=coefficient)


def without_conservatism(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the networks' part of a version's arrays."""
    return {name: value for name, value in arrays.items() if name != _NAME}
