"""What a signal tells of the policy, and the numbers by which the policy learns it."""

from dataclasses import dataclass
from typing import Literal

PolicyReading = Literal["advantage", "return", "regret"]
"""`docs/readings.md` says when to use which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSettings:
    """Numbers of a reading.

    Raises:
        ValueError: one of them is out of its range.
    """

    reading: PolicyReading = "advantage"
    trace_decay: float = 0.35
    """advantage: lambda, how much of a signal reaches the step before, in [0, 1]."""
    temperature: float = 1.0
    """regret: alpha, how many standard deviations of the signals a nat of log-probability is."""
    clip: float = 0.2
    """advantage, return: epsilon, how far a signal may move the probability of what it is about, in (0, 1)."""
    entropy_coefficient: float = 0.01
    """Of a bonus for being random where signals are given, in nats."""
    learning_rate: float = 1e-3
    minibatch_size: int = 32
    gradient_steps: int = 10
    """Each time that signals have come."""
    max_gradient_norm: float = 1.0
    most_versions: int = 10
    """Policy versions after which a signal about the policy expires."""

    def __post_init__(self) -> None:
        if not 0 <= self.trace_decay <= 1:
            raise ValueError(f"trace_decay is {self.trace_decay}; give a number in [0, 1]")
        if not 0 < self.clip < 1:
            raise ValueError(f"clip is {self.clip}; give a number above 0 and below 1")
        if self.entropy_coefficient < 0 or self.most_versions < 0:
            raise ValueError("entropy_coefficient and most_versions are numbers from 0")
        for name in ("temperature", "learning_rate", "minibatch_size", "gradient_steps", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")

    @property
    def about_policy(self) -> bool:
        """Whether signals are about the policy that acted, and so expire."""
        return self.reading != "regret"
