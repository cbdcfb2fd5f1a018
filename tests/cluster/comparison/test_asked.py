"""Who questions are about, what was said, and who is shown first."""

import itertools
from datetime import UTC, datetime

import numpy as np

from cluster.comparison.asked import AskedPair, Ballots, in_order
from hitl.events import Choice, Comparison, Event, JournalEntry, Retraction


def asked(name: str, first: int, second: int) -> AskedPair:
    return AskedPair(question_id=name, first=first, second=second, seed=3, place=0.5)


_offsets = itertools.count()


def said(event: Event, teacher: str = "ann") -> JournalEntry:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return JournalEntry(
        offset=next(_offsets), teacher_id=teacher, record_time=now, event=event, segment_ids=()
    )


def answer(name: str, choice: Choice, event_id: str) -> Comparison:
    return Comparison(run_id="c", question_id=name, choice=choice, event_id=event_id)


def test_answers_are_about_the_policies_of_their_question() -> None:
    ballots = Ballots(3, [asked("a", 2, 0)])
    ballots.add(asked("b", 0, 1))
    ballots.take(said(answer("a", Choice.FIRST, "1")))
    ballots.take(said(answer("b", Choice.SECOND, "2")))
    ballots.take(said(answer("somebody else's", Choice.FIRST, "3")))
    ballots.take(said(answer("a", Choice.FIRST, "1")))
    assert ballots.tally().wins_IJ.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert len(ballots) == 2


def test_what_is_taken_back_does_not_count_and_is_not_open() -> None:
    ballots = Ballots(2, [asked("a", 0, 1), asked("b", 1, 0)])
    assert ballots.open == ["a", "b"]
    ballots.take(said(answer("a", Choice.FIRST, "1")))
    # Somebody else's event may have the same id.
    ballots.take(said(Retraction(run_id="c", retracted_event_id="1"), teacher="bob"))
    assert ballots.tally().said == 1
    ballots.take(said(Retraction(run_id="c", retracted_event_id="1")))
    assert ballots.tally().said == 0
    assert ballots.open == ["b"]


def test_withdrawn_questions_count_for_no_order_unless_they_were_answered_after_all() -> None:
    ballots = Ballots(2, [asked(name, 0, 1) for name in "abc"])
    ballots.withdraw(["a", "b"])
    assert ballots.open == ["c"]
    assert ballots.shown_first_IJ().tolist() == [[0, 1], [0, 0]]
    ballots.take(said(answer("b", Choice.TIE, "1")))
    assert ballots.shown_first_IJ().tolist() == [[0, 2], [0, 0]]


def test_who_is_shown_first_is_balanced_and_not_to_be_foreseen() -> None:
    rng, shown_IJ, firsts = np.random.default_rng(0), np.zeros((3, 3), np.int64), []
    for number in range(400):
        # A schedule may always name the same one first.
        first, second = in_order(0, 2, shown_IJ, rng)
        assert {first, second} == {0, 2}
        shown_IJ[first, second] += 1
        assert abs(shown_IJ[0, 2] - shown_IJ[2, 0]) == (number + 1) % 2
        firsts.append(first)
    assert 70 < firsts[::2].count(0) < 130
