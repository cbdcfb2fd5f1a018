"""What the reward trainer hears in its run's journal, and in which order it learns from it."""

from cluster.feedback.journal_follower import JournalFollower, Read
from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.in_turn import AnswersInTurn
from hitl.events import Answer, Judgement


class Hearing:
    """Answers are waited for no longer once they are heard, and are learnt once they are taken.

    In lockstep a round is taken as a whole, ordered by questions and teachers: who was faster does not repeat.
    """

    def __init__(self, journal: JournalFollower, asking: Asking, *, lockstep: bool) -> None:
        """Begin before the first entry.

        Args:
            journal: of the run.
            asking: told of each answer.
            lockstep: see `AnswersInTurn`; and a round is taken in an order that repeats.
        """
        self._journal, self._lockstep = journal, lockstep
        self._in_turn = AnswersInTurn(asking, Judgement, lockstep=lockstep)
        self._heard: list[Read] = []
        self.end = 0
        """Offset behind the newest entry."""

    def listen(self) -> None:
        """Take note of what has come."""
        read = self._journal.take()
        if read:
            self.end = read[-1][0].offset + 1
        self._heard += self._in_turn.take(read)

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
