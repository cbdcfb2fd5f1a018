"""How the reward model looks at what it is given; `cluster.runs.reward` says what each setting is for."""

from dataclasses import dataclass
from typing import Literal

ImageEncoder = Literal["auto", "flat", "cnn"]
Reads = Literal["state", "state_action", "state_action_next"]
Memory = Literal["none", "gru"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What it reads of observations."""

    features: str | None = None
    encoder: ImageEncoder = "auto"
    image_features: int = 64
    filters: tuple[tuple[int, int, int], ...] = ()
    reads: Reads = "state_action"
    memory: Memory = "none"
    memory_units: int = 32

    @property
    def tells_actions_apart(self) -> bool:
        """Whether the model knows of a state alone which action is worth what: who acts by it needs that."""
        return self.reads == "state_action" and self.memory == "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Numbers of a fit."""

    learning_rate: float
    weight_decay: float
    gradient_steps: int
    early_stop: float | None = None
    refresh_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """How teachers are told from each other."""

    weighted: bool = False
    spread: float = 0.7
    most_weight: float = 3.0
    contrary: float = 0.0
