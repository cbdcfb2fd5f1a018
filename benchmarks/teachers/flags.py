"""How soon adversaries and lazy teachers are flagged, and how often honest ones are: no learning, only answers.

Teachers work in companies, and every two of a company share questions by turns. A question has two segments of 12
steps, whose returns lie from 0 to 12 as CartPole's do. Answers are those of `hitl.teachers.simulated`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import numpy as np

from hitl.events import Choice, Comparison, JournalEntry
from hitl.reliability.ledger import TeacherLedger
from hitl.reliability.report import Flag
from hitl.reliability.settings import ReliabilitySettings
from hitl.teachers.simulated import SeenReturns, SimulatedSettings, answer, settings_of

STEPS = 12
COMPANY = 5
WITHIN = 30
"""Shared questions within which an adversary is to be found."""
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LOOK_EVERY = 2
_TIME_SHAPE = 4.0

HONEST: dict[str, SimulatedSettings] = {
    **{
        kind: settings_of(kind, answer_seconds=2.0)
        for kind in ("oracle", "stochastic", "mistake", "skip", "equal", "myopic", "alike")
    },
    "stochastic, beta 0.3": settings_of("stochastic", rationality=0.3, answer_seconds=2.0),
    "mistake 0.25": settings_of("mistake", mistake=0.25, answer_seconds=2.0),
}
"""By name; the last two are the least honest that count as such."""
WORSE: dict[str, SimulatedSettings] = {
    "adversary": settings_of("adversary", answer_seconds=2.0),
    "adversary who errs in 0.1": settings_of("adversary", mistake=0.9, answer_seconds=2.0),
    "lazy": settings_of("lazy"),
}


@dataclass(slots=True)
class _Member:
    kind: str
    settings: SimulatedSettings
    seen: SeenReturns = field(default_factory=SeenReturns)
    shared: int = 0
    right: int = 0
    decided: int = 0


def simulate(worse: str, *, companies: int, shared: int, seed: int) -> dict[str, Any]:
    """Let companies of four honest teachers and one who is not answer until each has so many shared questions.

    Returns:
        Who was flagged, of the honest and of the others, and how often each kind was right.
    """
    rng = np.random.default_rng(seed)
    flags: list[tuple[str, Flag]] = []
    members: list[_Member] = []
    for _ in range(companies):
        kinds = [str(kind) for kind in rng.choice(list(HONEST), COMPANY - 1)]
        company = [_Member(kind, HONEST[kind]) for kind in kinds] + [_Member(worse, WORSE[worse])]
        flags += _company(company, shared, rng)
        members += company
    return _summary(worse, members, flags)


def _company(company: Sequence[_Member], shared: int, rng: np.random.Generator) -> list[tuple[str, Flag]]:
    ledger, flags, offset, question = TeacherLedger(ReliabilitySettings()), [], 0, 0
    while any(member.shared < shared for member in company):
        # Those who have the fewest come first.
        order = np.lexsort((rng.random(len(company)), np.array([member.shared for member in company])))
        rewards = np.clip(rng.random((2, 1)) + 0.2 * rng.standard_normal((2, STEPS)), 0, 1)
        alike = float(rng.random()) ** 2
        for place in order[:2]:
            member = company[place]
            choice = answer(rewards[0], rewards[1], rng, member.settings, seen=member.seen, alike=alike)
            seconds = float(rng.gamma(_TIME_SHAPE, member.settings.answer_seconds / _TIME_SHAPE))
            flags += ledger.take(_entry(offset, str(place), question, choice, seconds))
            offset += 1
            member.shared += 1
            if choice in (Choice.FIRST, Choice.SECOND):
                member.decided += 1
                member.right += (choice is Choice.FIRST) == bool(rewards[0].sum() > rewards[1].sum())
        question += 1
        if question % _LOOK_EVERY == 0:
            flags += ledger.look()
    return [(company[int(flag.teacher_id)].kind, flag) for flag in flags]


def _entry(offset: int, teacher: str, question: int, choice: Choice, seconds: float) -> JournalEntry:
    event = Comparison(
        run_id="run",
        question_id=str(question),
        choice=choice,
        thinking_time=timedelta(seconds=seconds),
        event_id=str(offset),
    )
    return JournalEntry(
        offset=offset,
        teacher_id=teacher,
        record_time=_NOW,
        event=event,
        segment_ids=(f"{question}a", f"{question}b"),
    )


def _summary(worse: str, members: Sequence[_Member], flags: Sequence[tuple[str, Flag]]) -> dict[str, Any]:
    teachers = Counter(member.kind for member in members)
    honest = sum(count for kind, count in teachers.items() if kind in HONEST)
    wrongly = Counter(f"{kind}: {flag.reason}" for kind, flag in flags if kind in HONEST)
    rightly: defaultdict[str, list[Flag]] = defaultdict(list)
    for kind, flag in flags:
        if kind not in HONEST:
            rightly[flag.reason].append(flag)
    decided = {kind: sum(m.decided for m in members if m.kind == kind) for kind in teachers}
    right = {kind: sum(m.right for m in members if m.kind == kind) for kind in teachers}
    return {
        "teachers": len(members),
        "honest": honest,
        "honest_flagged_share": sum(wrongly.values()) / honest,
        "honest_flagged": dict(wrongly),
        "not_honest": {worse: teachers[worse]},
        "flagged_share": {reason: len(found) / teachers[worse] for reason, found in rightly.items()},
        f"flagged_share_within_{WITHIN}_shared": {
            reason: sum(flag.shared <= WITHIN for flag in found) / teachers[worse]
            for reason, found in rightly.items()
        },
        "median_shared_when_flagged": {
            reason: median(flag.shared for flag in found) for reason, found in rightly.items()
        },
        "median_answers_when_flagged": {
            reason: median(flag.answers for flag in found) for reason, found in rightly.items()
        },
        "right_share": {kind: round(right[kind] / decided[kind], 3) for kind in sorted(teachers)},
    }
