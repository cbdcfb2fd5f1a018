"""In which order answers are learnt; nothing here needs Ray or a service."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from cluster.feedback.hearing import Hearing
from hitl.events import Choice, Comparison, Event, JournalEntry, Retraction

RETRACTION = Retraction(run_id="run", retracted_event_id="e")


class Journal:
    def __init__(self) -> None:
        self.coming: list[tuple[JournalEntry, Sequence[Any]]] = []
        self.length = 0

    def write(self, teacher: str, said: str | Event) -> None:
        event = (
            Comparison(run_id="run", question_id=said, choice=Choice.FIRST) if isinstance(said, str) else said
        )
        now = datetime.now(UTC)
        entry = JournalEntry(
            offset=self.length, teacher_id=teacher, record_time=now, event=event, segment_ids=()
        )
        self.coming.append((entry, ()))
        self.length += 1

    def take(self) -> list[tuple[JournalEntry, Sequence[Any]]]:
        taken, self.coming = self.coming, []
        return taken


class Asking:
    """Has asked so many questions of this life, whose ids begin with q-."""

    def __init__(self, asked: int = 99) -> None:
        self.asked, self.answered = asked, []

    def take_answer(self, question_id: str) -> None:
        self.answered.append(question_id)

    def is_still_to_ask(self, question_id: str) -> bool:
        return question_id.startswith("q-") and int(question_id[2:]) > self.asked


def hearing(*, lockstep: bool, asked: int = 99) -> tuple[Hearing, Journal, Asking]:
    journal, asking = Journal(), Asking(asked)
    return Hearing(journal, asking, lockstep=lockstep), journal, asking  # type: ignore[arg-type]


def taken(one: Hearing) -> list[tuple[str, str]]:
    return [(getattr(entry.event, "question_id", "else"), entry.teacher_id) for entry, _ in one.take()]


SAID = [("ann", "q-9"), ("bob", "q-9"), ("bob", "q-10"), ("ann", RETRACTION)]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_round_is_learnt_in_one_order_however_it_comes(order: tuple[int, ...]) -> None:
    one, journal, asking = hearing(lockstep=True)
    for place in order:
        journal.write(*SAID[place])
        one.listen()
    assert sorted(asking.answered) == ["q-10", "q-9", "q-9"], "waited for no longer, at once"
    assert taken(one) == [("q-9", "ann"), ("q-9", "bob"), ("q-10", "bob"), ("else", "ann")]
    assert taken(one) == []
    assert one.end == 4


def test_all_else_stays_as_it_came() -> None:
    one, journal, _ = hearing(lockstep=True)
    for teacher in ("cem", "ann", "bob"):
        journal.write(teacher, RETRACTION)
    one.listen()
    assert [teacher for _, teacher in taken(one)] == ["cem", "ann", "bob"]


def test_without_lockstep_all_is_learnt_as_it_comes() -> None:
    one, journal, asking = hearing(lockstep=False, asked=0)
    for place in (2, 3, 1, 0):
        journal.write(*SAID[place])
    one.listen()
    assert taken(one) == [("q-10", "bob"), ("else", "ann"), ("q-9", "bob"), ("q-9", "ann")]
    assert asking.answered == ["q-10", "q-9", "q-9"]


def test_answers_of_a_lost_life_wait_for_their_question() -> None:
    one, journal, asking = hearing(lockstep=True, asked=1)
    for question in ("q-2", "q-1"):
        journal.write("ann", question)
    one.listen()
    assert (taken(one), asking.answered) == ([("q-1", "ann")], ["q-1"])
    one.listen()
    assert taken(one) == []
    asking.asked = 2
    one.listen()
    assert (taken(one), asking.answered) == ([("q-2", "ann")], ["q-1", "q-2"])
    assert one.end == 2
