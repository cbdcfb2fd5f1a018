"""Consecutive steps of one episode, as somebody has taken them."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from policies.experience import ObservationArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """States, and what was done or wanted in each; B label, O number of a flat observation, A action."""

    name: str
    """Unique within its source."""
    episode: str
    """What is held out together with all else of it."""
    observation_BO: ObservationArray
    """Flat, as `policies.spaces` lays them."""
    action_BA: NDArray[Any]

    def __len__(self) -> int:
        return len(self.action_BA)
