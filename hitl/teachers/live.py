"""A simulated person in front of a live stage: judges the steps, reacts late, misses some, errs, and tires.

It holds no clock: told when each step was shown, it says when it presses a key, if it does.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hitl.errors import ConfigError

Mode = Literal["signals", "corrections", "takeover", "help"]
"""What a teacher gives: plus and minus; what to do instead; the controls, for a while, after a policy has gone wrong;
the controls when the policy asks, and for as long as it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What a simulated live teacher is like. Reaction times are gamma distributed, as people's are."""

    reaction_shape: float = 2.0
    reaction_scale_seconds: float = 0.28
    reaction_shortest_seconds: float = 0.2
    """Nobody is faster."""
    signals_per_second: float | None = None
    """At most so many; None: no limit."""
    miss: float = 0.0
    """Chance to say nothing though there is an opinion."""
    mistake: float = 0.0
    """Chance to press the other key."""
    tires_after_signals: float | None = None
    """Signals after which an opinion is voiced half as often as at first, and so on; None: never tires."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("miss", "mistake"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; a chance lies from 0 to 1")
        if self.reaction_shortest_seconds < 0.0:
            raise ConfigError(f"reaction_shortest_seconds is {self.reaction_shortest_seconds}, below 0")
        for name in (
            "reaction_shape",
            "reaction_scale_seconds",
            "signals_per_second",
            "tires_after_signals",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0.0:
                raise ConfigError(f"{name} is {value}; it must be above 0")


@dataclass(frozen=True, slots=True)
class Press:
    """A key."""

    seconds: float
    """When, on the clock of `LiveTeacher.watch`."""
    value: float


def approval(score_A: NDArray[np.floating], action: int, *, good_share: float, bad_share: float) -> float:
    """Return what a person thinks of an action whose worth, and that of its alternatives, only they know.

    Args:
        score_A: of each action.
        action: the chosen one.
        good_share: +1 where fewer than this share of the actions are better.
        bad_share: -1 where this share of the actions or more are better.

    Returns:
        1, -1, or 0: nothing worth saying.
    """
    better = float(np.mean(score_A > score_A[action]))
    if better < good_share:
        return 1.0
    return -1.0 if better >= bad_share else 0.0


class LiveTeacher:
    """Decides when to press what."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._free_at = -np.inf
        self.given = 0
        """Signals so far."""

    def watch(self, seconds: float, opinion: float) -> Press | None:
        """See a step.

        Args:
            seconds: when it was shown; steps are seen in the order of this clock.
            opinion: on it; 0 is none.

        Returns:
            The key that it makes the teacher press, later; None for silence.
        """
        settings, rng = self._settings, self._rng
        # Always the same number of draws, so that two lives differ by their settings alone.
        voiced, mistaken = rng.random(), rng.random()
        reaction = settings.reaction_shortest_seconds + rng.gamma(
            settings.reaction_shape, settings.reaction_scale_seconds
        )
        press = seconds + reaction
        if opinion == 0.0 or press < self._free_at or voiced >= self._diligence():
            return None
        if settings.signals_per_second is not None:
            self._free_at = press + 1.0 / settings.signals_per_second
        self.given += 1
        return Press(press, -opinion if mistaken < settings.mistake else opinion)

    def _diligence(self) -> float:
        """Return the chance to voice an opinion now."""
        tired = self._settings.tires_after_signals
        fresh = 1.0 if tired is None else 0.5 ** (self.given / tired)
        return fresh * (1.0 - self._settings.miss)
