"""Answers whose question has come up: in lockstep those of a lost life wait until theirs does.

A life in lockstep asks again what a lost one asked, by the same ids, and finds the answers in the journal.
"""

from collections.abc import Sequence
from types import UnionType

from cluster.feedback.journal_follower import Read
from cluster.feedback.questions.asking import Asking
from hitl.events import Answer


class AnswersInTurn:
    """Lets an answer count once its question has come up, and everything else at once."""

    def __init__(self, asking: Asking, kind: type | UnionType, *, lockstep: bool) -> None:
        """Begin.

        Args:
            asking: knows which questions have come up, and is told of the answers that count.
            kind: of its answers; those of others are none of its business.
            lockstep: whether the questions of a lost life come up again; else all answers count at once.
        """
        self._asking, self._kind, self._lockstep = asking, kind, lockstep
        self._early: list[Read] = []

    def take(self, read: Sequence[Read] = ()) -> list[Read]:
        """Return what counts from now on, of what was kept back and then of what has been read since."""
        waiting, self._early = [*self._early, *read], []
        counting = []
        for entry, segments in waiting:
            event = entry.event
            if isinstance(event, Answer) and isinstance(event, self._kind):
                if self._lockstep and self._asking.is_still_to_ask(event.question_id):
                    self._early.append((entry, segments))
                    continue
                self._asking.take_answer(event.question_id)
            counting.append((entry, segments))
        return counting
