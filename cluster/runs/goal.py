"""Whether a run has reached what its file asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.runs.config import GoalConfig


@dataclass(frozen=True, slots=True)
class GoalLine:
    """One thing asked for."""

    name: str
    value: float | None
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is reached; what is not known is not."""
        if self.value is None:
            return False
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goal_lines(goal: GoalConfig, summary: Mapping[str, Any]) -> list[GoalLine]:
    """Compare a summary with a goal, in the goal's order; what the goal leaves empty is left out."""
    asked = [
        ("true return", summary.get("true_return_mean"), goal.true_return, True),
        ("comparisons", summary.get("comparisons"), goal.comparisons, False),
        ("wall seconds", summary.get("wall_seconds"), goal.wall_seconds, False),
    ]
    return [GoalLine(name, value, bound, least) for name, value, bound, least in asked if bound is not None]


def goal_met(goal: GoalConfig, summary: Mapping[str, Any]) -> bool | None:
    """Return whether every line is met; None where nothing is asked for."""
    lines = goal_lines(goal, summary)
    return all(line.met for line in lines) if lines else None
