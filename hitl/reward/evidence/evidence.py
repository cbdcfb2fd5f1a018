"""The seam between what people say and the model that learns from it.

Axis suffixes: K member, E piece of evidence, B those of a minibatch.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import JournalEntry, Segment
from hitl.reward.network.ensemble import RewardEnsemble


class Likelihood(Protocol):
    """How likely it is that people say something, given the reward. It branches on no tensor's value."""

    has_contrary: ClassVar[bool]
    """Whether who says the contrary of what they want is one of negative rationality."""

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return what each member expects people to say of these inputs, [K, B] with any axes behind."""
        ...

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """Return the log-probability (or density) of what they said, in nats, [K, B].

        `rationality_B` is the teacher's of each piece, relative to that of all: how much they look at the reward. Below
        0, only where there is a contrary, it is who says that.
        """
        ...

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether a prediction decides as people did, and whether they decided at all; bool[B]."""
        ...


class Examples(Protocol):
    """All evidence of one kind that counts now, on the model's device."""

    heldout_E: NDArray[np.bool_]
    """Judges the model; all else trains it."""
    block_E: NDArray[np.int64]
    """Pieces with the same number are about nearly the same, so that they judge as one."""
    teacher_E: NDArray[np.int64]
    """Who says each, by `Teachers`."""
    bootstrap_KE: Tensor
    """How often each member counts each piece."""
    arrival_E: NDArray[np.int64]
    """What came later has a higher number; a piece keeps its own for ever."""

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of `Likelihood.predict` for these pieces, and last what was said."""
        ...


class Evidence(Protocol):
    """One kind of feedback."""

    @property
    def name(self) -> str:
        """Of the kind."""
        ...

    @property
    def likelihood(self) -> Likelihood:
        """Of what is said in this way."""
        ...

    @property
    def batch(self) -> int:
        """Pieces of a minibatch."""
        ...

    def __len__(self) -> int:
        """Return how many pieces count: neither skipped nor retracted."""
        ...

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """Take a journal entry into account; a repeat, or one of another kind, changes nothing."""
        ...

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """Let an event count no longer, also if it has not come yet."""
        ...

    def examples(self, ensemble: RewardEnsemble) -> Examples | None:
        """Return all that counts; None where nothing does."""
        ...


class Teachers:
    """Numbers for those who teach a run, for all kinds of evidence the same."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def number(self, teacher_id: str) -> int:
        """Return a teacher's number, from 0 in the order in which they come."""
        return self._number.setdefault(teacher_id, len(self._number))

    @property
    def ids(self) -> list[str]:
        """Of all who have a number, in its order."""
        return list(self._number)
