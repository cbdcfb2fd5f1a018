"""What is known of every teacher of a run, from the journal alone.

Two answers are to the same question where they are about the same two segments, whatever the question's id: a question
that goes to two teachers and one that is asked again under another id tell the same.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from hitl.events import Choice, Comparison, JournalEntry, Relabel, Retraction
from hitl.reliability.adversaries import SharedAnswers, adversary_evidence
from hitl.reliability.agreement import MISSING, krippendorff_alpha
from hitl.reliability.report import Flag, Reason, TeacherReport
from hitl.reliability.settings import ReliabilitySettings
from hitl.reliability.shares import share_evidence

Pair = tuple[str, str, str]
"""A run, and two of its segments in alphabetical order."""

_NOTHING_SAID = ("skip", "cannot_tell")
_SIDES = {Choice.FIRST: 1.0, Choice.SECOND: -1.0, Choice.TIE: 0.0}


@dataclass(frozen=True, slots=True)
class _Said:
    """One answer that counts."""

    kind: str
    seconds: float
    pair: Pair | None = None
    side: float | None = None
    """1 for the alphabetically first segment, -1 for the other, 0 for a tie; None where nothing was said."""


@dataclass(slots=True)
class _Teacher:
    """Counts of one teacher."""

    answers: int = 0
    fast: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    flags: dict[Reason, Flag] = field(default_factory=dict)

    def count(self, said: _Said, look_seconds: float, sign: int = 1) -> None:
        self.answers += sign
        self.seconds += sign * said.seconds
        self.fast += sign * (said.seconds < look_seconds)
        self.kinds[said.kind] += sign


class TeacherLedger:
    """Takes the journal's entries in order; nothing of it decides what anybody learns from."""

    def __init__(self, settings: ReliabilitySettings) -> None:
        """Begin with no teachers."""
        self._settings = settings
        self._teachers: defaultdict[str, _Teacher] = defaultdict(_Teacher)
        self._said: dict[tuple[str, str, str], _Said] = {}
        """By run, teacher and event."""
        self._pairs: defaultdict[Pair, dict[str, dict[str, float]]] = defaultdict(dict)
        """What teachers said of a pair, by teacher and event."""
        self._offset, self._changed = 0, False

    def take(self, entry: JournalEntry) -> list[Flag]:
        """Take note of an entry; returns the flags that its teacher's own answers now raise."""
        event, teacher_id, self._offset = entry.event, entry.teacher_id, entry.offset
        if isinstance(event, Retraction):
            self._retract((event.run_id, teacher_id, event.retracted_event_id))
            return []
        key = (event.run_id, teacher_id, event.event_id) if event else None
        if key is None or key in self._said or not hasattr(event, "thinking_time"):
            return []
        said = self._said[key] = _said_in(entry)
        self._teachers[teacher_id].count(said, self._settings.look_seconds)
        if said.pair is not None and said.side is not None:
            self._pairs[said.pair].setdefault(teacher_id, {})[key[2]] = said.side
            self._changed = True
        return self._own_flags(teacher_id)

    def _retract(self, key: tuple[str, str, str]) -> None:
        said = self._said.pop(key, None)
        if said is None:
            return
        _, teacher_id, event_id = key
        self._teachers[teacher_id].count(said, self._settings.look_seconds, sign=-1)
        if said.pair is not None and said.side is not None:
            by_event = self._pairs[said.pair][teacher_id]
            del by_event[event_id]
            if not by_event:
                del self._pairs[said.pair][teacher_id]
            self._changed = True

    def _own_flags(self, teacher_id: str) -> list[Flag]:
        settings, teacher = self._settings, self._teachers[teacher_id]
        first, second = (teacher.kinds[choice.value] for choice in (Choice.FIRST, Choice.SECOND))
        side = share_evidence(max(first, second), first + second, most=settings.side_share)
        # Either side may be it.
        evidence = {
            Reason.SAME_SIDE: side - math.log(2),
            Reason.TOO_FAST: share_evidence(teacher.fast, teacher.answers, most=settings.fast_share),
        }
        return [
            flag
            for reason, found in evidence.items()
            if (flag := self._flag(teacher_id, reason, found)) is not None
        ]

    def look(self) -> list[Flag]:
        """Compare teachers with each other as things stand; returns the flags that this raises."""
        if not self._changed:
            return []
        self._changed = False
        teachers, answers = self._shared()
        if not teachers:
            return []
        evidence_T = adversary_evidence(
            answers,
            accuracy=self._settings.accuracy,
            adversaries=self._settings.adversaries,
            trusted_T=np.array([teacher in self._settings.trusted for teacher in teachers]),
        )
        found = [
            self._flag(teacher, Reason.ADVERSARY, float(evidence))
            for teacher, evidence in zip(teachers, evidence_T, strict=True)
        ]
        return [flag for flag in found if flag is not None]

    def _flag(self, teacher_id: str, reason: Reason, evidence: float) -> Flag | None:
        teacher = self._teachers[teacher_id]
        if reason in teacher.flags or evidence < -math.log(self._settings.alpha[reason.value]):
            return None
        flag = teacher.flags[reason] = Flag(
            teacher_id=teacher_id,
            reason=reason,
            answers=teacher.answers,
            shared=self._agreements()[0][teacher_id],
            offset=self._offset,
            evidence=evidence,
        )
        return flag

    def known_pairs(self, *, timed: bool = True) -> dict[Pair, float]:
        """Return the pairs whose answer is known, and it: 1 for the alphabetically first segment, -1 for the other.

        Two teachers who are not flagged have said it, or one who is trusted, and none of those the opposite.

        Args:
            timed: whether a flag for answers too fast counts, which no run repeats.
        """
        excused = set() if timed else {Reason.TOO_FAST}
        honest = {name for name, teacher in self._teachers.items() if teacher.flags.keys() <= excused}
        trusted = set(self._settings.trusted)
        known = {}
        for pair in self._pairs:
            by_teacher = self._sides(pair)
            sides = [side for teacher, side in by_teacher.items() if teacher in honest | trusted]
            enough = len(sides) > 1 or not trusted.isdisjoint(by_teacher)
            if enough and len(set(sides)) == 1:
                known[pair] = sides[0]
        return known

    def teachers_of(self, pair: Pair) -> set[str]:
        """Return who has decided a pair."""
        return set(self._sides(pair))

    def alpha(self) -> float | None:
        """Return Krippendorff's alpha of answers to pairs, a tie lying between both sides; None where nobody shares."""
        names = {name: row for row, name in enumerate(self._teachers)}
        value_RI = np.full((len(names), len(self._pairs)), MISSING)
        for column, by_teacher in enumerate(self._pairs.values()):
            for teacher, by_event in by_teacher.items():
                value_RI[names[teacher], column] = next(iter(by_event.values()))
        return krippendorff_alpha(value_RI, level="ordinal")

    def reports(self) -> list[TeacherReport]:
        """Return what is known of every teacher, by name."""
        shared, agreement = self._agreements()
        return [self._report(name, shared[name], agreement.get(name)) for name in sorted(self._teachers)]

    def _report(self, teacher_id: str, shared: int, agreement: float | None) -> TeacherReport:
        teacher = self._teachers[teacher_id]
        first, second = (teacher.kinds[choice.value] for choice in (Choice.FIRST, Choice.SECOND))
        said = teacher.answers
        return TeacherReport(
            teacher_id=teacher_id,
            answers=said,
            skips=sum(teacher.kinds[kind] for kind in _NOTHING_SAID),
            ties=teacher.kinds[Choice.TIE.value],
            shared=shared,
            agreement=agreement,
            first_share=first / (first + second) if first + second else None,
            fast_share=teacher.fast / said if said and self._settings.look_seconds else None,
            thinking_seconds=teacher.seconds / said if said else None,
            flags=tuple(teacher.flags.values()),
        )

    def _sides(self, pair: Pair) -> dict[str, float]:
        """Return who has decided a pair, and for which side; of several answers of one teacher the first."""
        said = {teacher: next(iter(by_event.values())) for teacher, by_event in self._pairs[pair].items()}
        return {teacher: side for teacher, side in said.items() if side}

    def _shared(self) -> tuple[list[str], SharedAnswers]:
        """Return the teachers who share questions, and their answers to those."""
        places: dict[str, int] = {}
        rows: list[tuple[int, int, float]] = []
        for question, pair in enumerate(pair for pair in self._pairs if len(self._sides(pair)) > 1):
            for teacher, side in self._sides(pair).items():
                rows.append((places.setdefault(teacher, len(places)), question, side))
        teacher_E, question_E, side_E = np.array(rows or np.zeros((0, 3))).T
        return list(places), SharedAnswers(
            teacher_E=teacher_E.astype(np.int64), question_E=question_E.astype(np.int64), side_E=side_E
        )

    def _agreements(self) -> tuple[Counter[str], dict[str, float]]:
        """Return how many questions each teacher shares, and the share of others' answers that say the same."""
        shared: Counter[str] = Counter()
        same: Counter[str] = Counter()
        others: Counter[str] = Counter()
        for pair in self._pairs:
            sides = self._sides(pair)
            if len(sides) < 2:
                continue
            for teacher, side in sides.items():
                shared[teacher] += 1
                others[teacher] += len(sides) - 1
                same[teacher] += sum(other == side for other in sides.values()) - 1
        return shared, {teacher: same[teacher] / others[teacher] for teacher in shared}


def _said_in(entry: JournalEntry) -> _Said:
    event = entry.event
    seconds = event.thinking_time.total_seconds()  # type: ignore[union-attr]
    if not isinstance(event, Comparison):
        kind = event.answer.value if isinstance(event, Relabel) and isinstance(event.answer, str) else ""
        return _Said(kind, seconds)
    side = _SIDES.get(event.choice)
    if side is None or len(entry.segment_ids) != 2:
        return _Said(event.choice.value, seconds)
    one, other = entry.segment_ids
    pair = (event.run_id, min(one, other), max(one, other))
    return _Said(event.choice.value, seconds, pair, side if one < other else -side)
