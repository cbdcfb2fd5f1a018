"""Who teaches, and how far they can be relied upon: flags in the log, and questions that several answer."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from cluster.runs.reward.config import RewardConfig
from hitl.events import JournalEntry, Question
from hitl.reliability.ledger import Pair, TeacherLedger
from hitl.reliability.report import Flag, TeacherReport
from hitl.reliability.sharing import Sharing
from hitl.reward.online import FitReport

logger = logging.getLogger(__name__)


class TeacherWatch:
    """Keeps the ledger of a run's teachers; what anybody says counts, whatever stands there."""

    def __init__(self, reward: RewardConfig, run_id: str, *, seed: int, lockstep: bool = False) -> None:
        """Begin.

        Args:
            reward: settings: what an honest teacher is like, and how many questions several answer.
            run_id: of the run that asks.
            seed: of the choice of those.
            lockstep: teachers are compared after every answer, so that it repeats what is found, and what is found by
                the clock alone decides nothing.
        """
        self._lockstep = lockstep
        questions = reward.questions
        self._ledger, self._run_id = TeacherLedger(reward.reliability.settings()), run_id
        self._sharing = Sharing(
            duplicates=questions.duplicates, gold=questions.gold, known=self._known, seed=seed
        )

        self._reports: list[TeacherReport] = []
        self._is_new = False
        self.agreement: float | None = None
        """Krippendorff's alpha of all answers to comparisons, at the last look."""

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._sharing.begin_anew(seed)

    def take(self, entry: JournalEntry) -> None:
        """Take note of what somebody has said."""
        _warn(self._ledger.take(entry))
        if self._lockstep:
            _warn(self._ledger.look())
        self._is_new = True

    def look(self) -> None:
        """Compare teachers with each other, if anybody has said anything new."""
        if self._is_new:
            _warn(self._ledger.look())
            self._reports, self.agreement = self._ledger.reports(), self._ledger.alpha()
            self._is_new = False

    def share(self, questions: Sequence[Question]) -> list[Question]:
        """Return what to ask in the place of these; see `Sharing`."""
        return self._sharing(questions)

    def reports(self, fit: FitReport | None) -> list[TeacherReport]:
        """Return what was known of every teacher at the last look, with their weights in a fit's comparisons."""
        comparisons = fit.kinds.get("comparisons") if fit else None
        known = comparisons.teachers if comparisons else {}
        return [
            replace(report, weight=known[report.teacher_id].weight if report.teacher_id in known else None)
            for report in self._reports
        ]

    def _known(self) -> dict[Pair, int]:
        """Return the pairs of this run whose answer is known; segments of other runs cannot be asked about here."""
        ledger = self._ledger
        known = ledger.known_pairs(timed=not self._lockstep)
        return {pair: len(ledger.teachers_of(pair)) for pair in known if pair[0] == self._run_id}


def _warn(flags: list[Flag]) -> None:
    for flag in flags:
        logger.warning("%s", flag)
