"""Who teaches, and how far they can be relied upon: flags in the log, and questions that several answer."""

import logging
from collections.abc import Sequence

from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.reliability import ReliabilityConfig
from hitl.events import JournalEntry, Question
from hitl.reliability.ledger import Pair, TeacherLedger
from hitl.reliability.report import Flag, TeacherReport
from hitl.reliability.sharing import Sharing

logger = logging.getLogger(__name__)


class TeacherWatch:
    """Keeps the ledger of a run's teachers; what anybody says counts, whatever stands there."""

    def __init__(
        self, reliability: ReliabilityConfig, questions: QuestionsConfig, run_id: str, *, seed: int
    ) -> None:
        """Begin.

        Args:
            reliability: what an honest teacher is like.
            questions: how many of them several teachers answer.
            run_id: of the run that asks.
            seed: of their choice.
        """
        self._ledger, self._run_id = TeacherLedger(reliability.settings()), run_id
        self._sharing = Sharing(
            duplicates=questions.duplicates, gold=questions.gold, known=self._known, seed=seed
        )

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._sharing.begin_anew(seed)

    def take(self, entry: JournalEntry) -> None:
        """Take note of what somebody has said."""
        _warn(self._ledger.take(entry))

    def look(self) -> None:
        """Compare teachers with each other."""
        _warn(self._ledger.look())

    def share(self, questions: Sequence[Question]) -> list[Question]:
        """Return what to ask in the place of these; see `Sharing`."""
        return self._sharing(questions)

    def reports(self) -> list[TeacherReport]:
        """Return what is known of every teacher."""
        return self._ledger.reports()

    def agreement(self) -> float | None:
        """Return Krippendorff's alpha of all teachers."""
        return self._ledger.alpha()

    def _known(self) -> dict[Pair, int]:
        """Return the pairs of this run whose answer is known; segments of other runs cannot be asked about here."""
        ledger = self._ledger
        return {
            pair: len(ledger.teachers_of(pair)) for pair in ledger.known_pairs() if pair[0] == self._run_id
        }


def _warn(flags: list[Flag]) -> None:
    for flag in flags:
        logger.warning("%s", flag)
