"""Segments and answers made by hand, for tests of the reward model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hitl.events import Choice, Comparison, JournalEntry, Retraction, Segment, StepAddress
from hitl.reward.evidence.comparisons import ComparisonLikelihood, Comparisons
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.judgements import Judged, JudgementArrays
from hitl.reward.network.inputs import InputSpace

SPACE = InputSpace(observation_size=2, action_size=3, discrete=True)
STEPS = 5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one pair question."""

    offset: int
    event_id: str
    teacher_id: str
    first: Segment
    second: Segment
    choice: Choice

    @property
    def run_id(self) -> str:
        return self.first.address.run_id


def comparisons(
    told: Sequence[Answer] = (), *, lapse: float = 0.1, heldout_share: float = 0.0, seed: int = 0
) -> Comparisons:
    """Those that count after these answers."""
    made = Comparisons(
        ComparisonLikelihood(lapse), Teachers(), batch=32, heldout_share=heldout_share, seed=seed
    )
    for one in told:
        made.take(*entry_of(one))
    return made


def arrays_of(told: Sequence[Answer], *, heldout_share: float) -> JudgementArrays:
    """In their order, as a kind of evidence has them."""
    kind, teachers = comparisons(), Teachers()
    judged = []
    for one in told:
        entry, segments = entry_of(one)
        said = kind.said(entry.event)
        assert said is not None
        judged.append(
            Judged(
                offset=one.offset,
                teacher_id=one.teacher_id,
                segments=tuple(segments),
                arrival=one.offset,
                said=said,
            )
        )
    return JudgementArrays.of(judged, teachers, heldout_share=heldout_share)


def segment(name: str, *, steps: int = STEPS, seed: int = 0, run_id: str = "run") -> Segment:
    rng = np.random.default_rng([seed, *name.encode()])
    return Segment(
        segment_id=name,
        address=StepAddress(task_id="task", run_id=run_id, source=name, episode=0, begin=0, end=steps),
        observations={"obs": rng.standard_normal((steps, 2), np.float32)},
        actions=rng.integers(0, 3, steps),
        policy_version=0,
    )


def worth(one: Segment) -> float:
    """The true return that made-up teachers judge by: the sum of the first number of each observation."""
    return float(np.asarray(one.observations["obs"])[:, 0].sum())


def answer(number: int, first: Segment, second: Segment, choice: Choice | None = None) -> Answer:
    return Answer(
        offset=number,
        event_id=f"event-{number}",
        teacher_id="teacher",
        first=first,
        second=second,
        choice=choice or (Choice.FIRST if worth(first) > worth(second) else Choice.SECOND),
    )


def answers(count: int, *, steps: int = STEPS) -> list[Answer]:
    """True answers about pairs that share no segment."""
    return [
        answer(i, segment(f"{i}/first", steps=steps), segment(f"{i}/second", steps=steps))
        for i in range(count)
    ]


def entry_of(one: Answer) -> tuple[JournalEntry, list[Segment]]:
    event = Comparison(run_id=one.run_id, question_id=one.event_id, choice=one.choice, event_id=one.event_id)
    return _entry(one.offset, one.teacher_id, event), [one.first, one.second]


def retraction_of(one: Answer, *, teacher_id: str = "teacher") -> tuple[JournalEntry, list[Segment]]:
    event = Retraction(run_id=one.run_id, retracted_event_id=one.event_id)
    return _entry(one.offset + 1000, teacher_id, event), []


def _entry(offset: int, teacher_id: str, event: Any) -> JournalEntry:
    return JournalEntry(
        offset=offset,
        teacher_id=teacher_id,
        record_time=datetime(2030, 1, 1, tzinfo=UTC),
        event=event,
        segment_ids=(),
    )
