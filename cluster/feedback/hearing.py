"""What the reward trainer hears in its run's journal, and in which order it learns from it."""

from collections.abc import Sequence

from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.questions.asking import Asking
from hitl.events import Answer, JournalEntry, Judgement, Segment

Read = tuple[JournalEntry, Sequence[Segment]]
"""An entry of the journal with the segments that it is about."""


class Hearing:
    """Answers are waited for no longer once they are heard, and are learnt once they are taken.

    In lockstep a round is taken as a whole, ordered by questions and teachers: who was faster does not repeat.
    """

    def __init__(self, journal: JournalFollower, asking: Asking, *, lockstep: bool) -> None:
        """Begin before the first entry.

        Args:
            journal: of the run.
            asking: told of each answer.
            lockstep: answers of a lost life wait until their question comes up again.
        """
        self._journal, self._asking, self._lockstep = journal, asking, lockstep
        self._too_early: list[Read] = []
        self._heard: list[Read] = []
        self.end = 0
        """Offset behind the newest entry."""

    def listen(self) -> None:
        """Take note of what has come."""
        read, self._too_early = [*self._too_early, *self._journal.take()], []
        for entry, segments in read:
            self.end = max(self.end, entry.offset + 1)
            event = entry.event
            if isinstance(event, Judgement):
                if self._lockstep and self._asking.is_still_to_ask(event.question_id):
                    self._too_early.append((entry, segments))
                    continue
                self._asking.take_answer(event.question_id)
            self._heard.append((entry, segments))

    def take(self) -> list[Read]:
        """Return what was heard and has not been taken yet."""
        heard, self._heard = self._heard, []
        return sorted(heard, key=_by_question) if self._lockstep else heard


def _by_question(read: Read) -> tuple[bool, int, str, str]:
    """Order answers by what they answer, as it was asked; behind them comes all else as it came."""
    entry, _ = read
    if not isinstance(entry.event, Answer):
        return True, entry.offset, "", ""
    return False, len(entry.event.question_id), entry.event.question_id, entry.teacher_id
