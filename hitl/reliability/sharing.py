"""Which questions several teachers get, so that their agreement is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hitl.events import PairQuestion, Question
from hitl.reliability.ledger import Pair


class Sharing:
    """Gives some questions to two teachers, and puts questions whose answer is known in the place of others."""

    def __init__(
        self,
        *,
        duplicates: float,
        gold: float,
        known: Callable[[], Mapping[Pair, int]],
        seed: int,
    ) -> None:
        """Begin.

        Args:
            duplicates: share of questions that go to two teachers.
            gold: share of questions that repeat one whose answer is known.
            known: returns those, with the number of teachers who have answered each.
            seed: of the choice.
        """
        self._duplicates, self._gold, self._known = duplicates, gold, known
        self._rng = np.random.default_rng(seed)

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._rng = np.random.default_rng(seed)

    def __call__(self, questions: Sequence[Question]) -> list[Question]:
        """Return what to ask in the place of these, with no more answers wanted than there are questions.

        A question that repeats another has the id and all else of the one whose place it takes, but other segments:
        those that the fewest teachers have compared yet. The last questions are left out where others want two answers.
        """
        if not self._duplicates and not self._gold:
            return list(questions)
        known = {pair: count for pair, count in self._known().items() if self._gold}
        asked: list[Question] = []
        left = len(questions)
        for question in questions:
            chance, turned = self._rng.random(2)
            if left < 1:
                break
            left -= 1
            if not isinstance(question, PairQuestion):
                asked.append(question)
            elif known and chance < self._gold:
                pair = min(known, key=lambda pair: (known[pair], pair))
                del known[pair]
                first, second = pair[1:] if turned < 0.5 else pair[:0:-1]
                asked.append(replace(question, first_segment_id=first, second_segment_id=second))
            elif left and chance >= 1.0 - self._duplicates:
                asked.append(replace(question, answers=2))
                left -= 1
            else:
                asked.append(question)
        return asked
