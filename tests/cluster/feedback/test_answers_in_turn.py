"""Answers that a lost life in lockstep has left in the journal; nothing here needs Ray."""

from datetime import UTC, datetime

import numpy as np
import pytest

from cluster.feedback.questions.asking import Asking, AskingState
from cluster.feedback.questions.in_turn import AnswersInTurn, Read
from hitl.events import (
    Choice,
    Comparison,
    Event,
    Goal,
    JournalEntry,
    Judgement,
    Progress,
    Relabel,
    Run,
    Signal,
)
from hitl.reward.questions.schedule import QuestionSchedule


def asking(*, asked: int) -> Asking:
    schedule = QuestionSchedule(
        budget=10, initial=4, initial_env_steps=0, per_round=2, round_env_steps=10, max_open=5
    )
    run = Run(
        run_id="run", task_id="task", epoch=1, progress=Progress(), open_questions=0, answered_questions=0,
        closed_questions=0, journal_end=0,
    )  # fmt: skip
    one = Asking(schedule, run, prefix="q1-", publisher=None, expire_seconds=60.0, waits=True)
    one.set_state(AskingState(questions=asked, last_round=None))
    return one


def read(offset: int, event: Event | None) -> Read:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return JournalEntry(offset=offset, teacher_id="ann", record_time=now, event=event, segment_ids=()), ()


def compared(offset: int, question: str) -> Read:
    return read(offset, Comparison(run_id="run", question_id=question, choice=Choice.FIRST))


def offsets(taken: list[Read]) -> list[int]:
    return [entry.offset for entry, _ in taken]


SIGNAL = Signal(run_id="run", value=1.0, stage_id="stage", frame=0)
JOURNAL = [
    compared(0, "q1-00002"),
    compared(1, "q1-00001"),
    read(2, SIGNAL),
    read(3, Relabel(run_id="run", question_id="q1-00003", step=0, answer=np.asarray(0))),
    read(4, None),
    read(5, Goal(run_id="run", question_id="q1-00003", step=0, reached=True)),
    compared(6, "q2-00009"),
]


def test_in_lockstep_answers_wait_until_their_question_comes_up() -> None:
    one = asking(asked=1)
    in_turn = AnswersInTurn(one, Judgement, lockstep=True)
    assert offsets(in_turn.take(JOURNAL)) == [1, 2, 3, 4, 6], "of other kinds and other lives at once"
    assert one.answered == {"q1-00001", "q2-00009"}
    assert in_turn.take() == []
    one.new_id()
    assert offsets(in_turn.take([compared(7, "q1-00004"), read(8, SIGNAL)])) == [0, 8]
    assert one.answers == 3
    one.new_id(), one.new_id()
    assert offsets(in_turn.take()) == [5, 7], "in the journal's order"
    assert in_turn.take() == [], "and each once"
    assert one.answers == 5


def test_otherwise_all_count_at_once() -> None:
    one = asking(asked=0)
    assert offsets(AnswersInTurn(one, Judgement, lockstep=False).take(JOURNAL)) == list(range(7))
    assert one.answers == 4


@pytest.mark.parametrize("lockstep", [True, False])
def test_only_answers_of_the_kind_that_was_asked_are_told(lockstep: bool) -> None:
    one = asking(asked=3)
    taken = AnswersInTurn(one, Relabel, lockstep=lockstep).take(JOURNAL)
    assert offsets(taken) == list(range(7))
    assert one.answered == {"q1-00003"}
