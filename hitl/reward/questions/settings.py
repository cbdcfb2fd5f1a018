"""How questions are chosen; `cluster.runs.reward.questions` says what each setting is for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

StrategyName = Literal[
    "disagreement", "information_gain", "volume_removal", "random", "near_on_policy", "diverse"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSettings:
    """How the questions of a round are chosen."""

    shares: Mapping[StrategyName, float]
    """Of the questions, by the strategy that chooses them; above 0, in any unit."""
    candidates: int
    newest_share: float = 0.25
    half_life_versions: float | None = None
    least_distance: float = 0.0
    least_information: float = 0.0

    def in_any_case(self) -> Self:
        """Return the same for a round that is asked though it may not be worth it."""
        return replace(self, least_information=0.0)
