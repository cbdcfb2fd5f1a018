"""Which questions a comparison has asked, about whom, and what people have said.

It holds no process, no clock and no connection: what it knows follows from the lines of its file and the journal.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Choice, Comparison, JournalEntry, Retraction
from hitl.voting.tally import Duel, Tally, tally


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPair:
    """A question, and what nobody may know who answers it."""

    question_id: str
    first: int
    """Number of the policy that is shown first."""
    second: int
    seed: int
    """Of the first state of both episodes."""
    place: float
    """Of the segments in their episodes, from 0 to 1."""

    def to_json(self) -> dict[str, Any]:
        """Return what `AskedPair(**...)` takes."""
        return asdict(self)


class Ballots:
    """All questions and answers of a comparison."""

    def __init__(self, policies: int, asked: Iterable[AskedPair] = ()) -> None:
        """Begin with the questions of earlier lives.

        Args:
            policies: how many are compared.
            asked: in order.
        """
        self._policies = policies
        self._asked = {pair.question_id: pair for pair in asked}
        self._given: dict[tuple[str, str], tuple[str, Choice]] = {}
        self._answered: set[str] = set()
        self._withdrawn: set[str] = set()

    def __len__(self) -> int:
        """Return how many questions were asked."""
        return len(self._asked)

    def add(self, pair: AskedPair) -> None:
        """Take note of a question."""
        self._asked[pair.question_id] = pair

    def take(self, entry: JournalEntry) -> None:
        """Take note of what the journal says; other questions than those of the comparison are not its business."""
        event = entry.event
        if isinstance(event, Comparison) and event.question_id in self._asked:
            self._given[entry.teacher_id, event.event_id] = (event.question_id, Choice(event.choice))
            self._answered.add(event.question_id)
        elif isinstance(event, Retraction):
            self._given.pop((entry.teacher_id, event.retracted_event_id), None)

    @property
    def open(self) -> list[str]:
        """Ids of the questions that wait for an answer."""
        return [name for name in self._asked if name not in self._answered | self._withdrawn]

    def withdraw(self, question_ids: Iterable[str]) -> None:
        """Wait for these questions no longer."""
        self._withdrawn.update(question_ids)

    def tally(self) -> Tally:
        """Count the answers that were not taken back."""
        pairs = [(self._asked[question_id], choice) for question_id, choice in self._given.values()]
        return tally(
            [Duel(pair.first, pair.second, choice) for pair, choice in pairs], policies=self._policies
        )

    def shown_first_IJ(self) -> NDArray[np.int64]:
        """Return how often I was shown first beside J, in questions that are answered or open."""
        shown_IJ = np.zeros((self._policies, self._policies), np.int64)
        for name, pair in self._asked.items():
            if name in self._answered or name not in self._withdrawn:
                shown_IJ[pair.first, pair.second] += 1
        return shown_IJ


def in_order(
    one: int, other: int, shown_first_IJ: NDArray[np.int64], rng: np.random.Generator
) -> tuple[int, int]:
    """Return who is shown first and second: who was first less often, and by chance where both were as often.

    So each is first in half of a pair's questions, and which one is not to be foreseen in every other question.
    """
    ahead = int(shown_first_IJ[one, other] - shown_first_IJ[other, one])
    if ahead == 0:
        ahead = int(rng.choice([-1, 1]))
    return (one, other) if ahead < 0 else (other, one)
