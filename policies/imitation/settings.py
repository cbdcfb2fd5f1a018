"""The numbers of behaviour cloning."""

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
