"""What counts as honest, and how sure a flag must be."""

from dataclasses import dataclass

from hitl.errors import ConfigError

LOOK_SECONDS = 0.5
"""A glance and a key press: a choice of two takes people about so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilitySettings:
    """Who is honest: all that a flag may claim to be untrue is said here."""

    accuracy: float = 0.75
    """An honest teacher gives the right answer at least so often, on questions that were shared and are decided."""
    adversaries: float = 0.1
    """Share of teachers who turn their answers round, believed before any answer."""
    side_share: float = 0.6
    """An honest teacher leans to one side, first or second, in at most this share of answers."""
    look_seconds: float = LOOK_SECONDS
    """Nobody can look at a question in less."""
    fast_share: float = 0.2
    """An honest teacher is faster than that in at most this share of answers."""
    false_flags: float = 0.01
    """Chance that an honest teacher is ever flagged, for any reason, however many answers they give."""
    trusted: tuple[str, ...] = ()
    """Teachers who are known to be honest."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a number is out of its range.
        """
        for name, low, high in (
            ("accuracy", 0.5, 1.0),
            ("adversaries", 0.0, 0.5),
            ("side_share", 0.5, 1.0),
            ("fast_share", 0.0, 1.0),
            ("false_flags", 0.0, 1.0),
        ):
            if not low < getattr(self, name) < high:
                raise ConfigError(f"{name} is {getattr(self, name)}; it lies between {low:g} and {high:g}")
        if self.look_seconds < 0:
            raise ConfigError(f"look_seconds is {self.look_seconds}; it cannot be negative")

    @property
    def alpha(self) -> dict[str, float]:
        """Share of `false_flags` that each reason may use up; a side is one of two, and either may be it."""
        return {
            "adversary": self.false_flags / 2,
            "same_side": self.false_flags / 4,
            "too_fast": self.false_flags / 4,
        }
