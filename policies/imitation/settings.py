"""The numbers of behaviour cloning, and of what is learnt beside it."""

from dataclasses import dataclass
from typing import Literal

LossName = Literal["likelihood", "squared_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloningSettings:
    """Numbers of a fit.

    Raises:
        ValueError: one of them is out of its range.
    """

    loss: LossName = "likelihood"
    """squared_error is for Box actions, and leaves the policy's log standard deviation as it is."""
    learning_rate: float = 1e-3
    minibatch_size: int = 64
    epochs: int = 50
    """At most so many passes over the labels that train."""
    patience: int = 5
    """Epochs in a row without a better held-out loss, after which the fit stops."""
    max_gradient_norm: float = 10.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "minibatch_size", "epochs", "patience", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessSettings:
    """Numbers of the critics of success.

    Raises:
        ValueError: one of them is out of its range.
    """

    critics: int = 2
    """The lowest counts."""
    discount: float = 0.99
    """Per step, in [0, 1)."""
    learning_rate: float = 1e-3
    minibatch_size: int = 128
    gradient_steps: int = 200
    """In a fit."""
    target_rate: float = 0.02
    """Share of the way that the target critics go towards the newest weights after each gradient step, in (0, 1]."""
    most_steps: int = 50_000
    """That are kept to learn from."""
    max_gradient_norm: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount is {self.discount}; give a number from 0 and below 1")
        if not 0 < self.target_rate <= 1:
            raise ValueError(f"target_rate is {self.target_rate}; give a number above 0, at most 1")
        names = (
            "critics",
            "learning_rate",
            "minibatch_size",
            "gradient_steps",
            "most_steps",
            "max_gradient_norm",
        )
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")
