"""What the ledger makes of a journal."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hitl.errors import ConfigError
from hitl.events import Abstention, Choice, Comparison, JournalEntry, Relabel, Retraction, Signal
from hitl.reliability.ledger import TeacherLedger
from hitl.reliability.report import Reason
from hitl.reliability.settings import ReliabilitySettings
from hitl.reliability.shares import share_evidence

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Journal:
    """Entries by hand."""

    def __init__(self, **settings: object) -> None:
        self.ledger = TeacherLedger(ReliabilitySettings(**settings))  # type: ignore[arg-type]
        self.offset = 0
        self.flags: list = []

    def add(self, teacher: str, event: object, segments: tuple[str, ...] = ()) -> None:
        entry = JournalEntry(
            offset=self.offset,
            teacher_id=teacher,
            record_time=NOW,
            event=event,
            segment_ids=segments,  # type: ignore[arg-type]
        )
        self.offset += 1
        self.flags += self.ledger.take(entry)

    def say(
        self,
        teacher: str,
        pair: str,
        choice: Choice,
        *,
        seconds: float = 2.0,
        turned: bool = False,
        run: str = "run",
    ) -> str:
        segments = (f"{pair}-a", f"{pair}-b")
        event = Comparison(
            run_id=run, question_id=f"q{self.offset}", choice=choice, thinking_time=timedelta(seconds=seconds)
        )
        self.add(teacher, event, segments[::-1] if turned else segments)
        return event.event_id

    def report(self, teacher: str):  # type: ignore[no-untyped-def]
        return {report.teacher_id: report for report in self.ledger.reports()}[teacher]


def test_everything_is_counted() -> None:
    journal = Journal()
    for choice in (Choice.FIRST, Choice.FIRST, Choice.SECOND, Choice.TIE, Choice.SKIP, Choice.CANNOT_TELL):
        journal.say("ann", f"p{journal.offset}", choice, seconds=0.1 if choice is Choice.SKIP else 3.0)
    relabel = {"run_id": "run", "question_id": "r", "step": 0, "thinking_time": timedelta(seconds=0.2)}
    journal.add("ann", Relabel(answer=np.array(1), **relabel), ("s",))  # type: ignore[arg-type]
    journal.add("ann", Relabel(answer=Abstention.SKIP, **relabel), ("s",))  # type: ignore[arg-type]
    journal.add("ann", Signal(run_id="run", stage_id="stage", frame=0, value=1.0))
    journal.add("ann", None)
    report = journal.report("ann")
    assert (report.answers, report.skips, report.ties, report.shared) == (8, 3, 1, 0)
    assert report.first_share == pytest.approx(2 / 3)
    assert report.fast_share == pytest.approx(3 / 8)
    assert report.thinking_seconds == pytest.approx((5 * 3.0 + 0.1 + 0.4) / 8)
    assert (report.agreement, report.flags, report.weight) == (None, (), None)
    assert report.to_json()["flags"] == []


def test_a_repeated_entry_counts_once() -> None:
    journal = Journal()
    event = Comparison(run_id="run", question_id="q", choice=Choice.FIRST)
    for _ in range(2):
        journal.add("ann", event, ("a", "b"))
    assert journal.report("ann").answers == 1


def test_answers_about_the_same_two_segments_are_shared_whichever_comes_first() -> None:
    journal = Journal()
    journal.say("ann", "p", Choice.FIRST)
    journal.say("bob", "p", Choice.SECOND, turned=True)
    journal.say("cem", "p", Choice.SECOND)
    journal.say("cem", "q", Choice.FIRST)
    journal.say("ann", "q", Choice.TIE)
    journal.say("bob", "q", Choice.SKIP)
    assert [journal.report(name).shared for name in ("ann", "bob", "cem")] == [1, 1, 1]
    assert [journal.report(name).agreement for name in ("ann", "bob", "cem")] == [0.5, 0.5, 0.0]


def test_of_another_run_a_pair_is_another() -> None:
    journal = Journal()
    journal.say("ann", "p", Choice.FIRST)
    journal.say("bob", "p", Choice.FIRST, run="other")
    assert journal.report("ann").shared == 0


def test_of_one_teachers_answers_to_a_pair_the_first_counts() -> None:
    journal = Journal()
    first = journal.say("ann", "p", Choice.FIRST)
    journal.say("ann", "p", Choice.SECOND)
    journal.say("bob", "p", Choice.FIRST)
    assert journal.report("bob").agreement == 1.0
    journal.add("ann", Retraction(run_id="run", retracted_event_id=first))
    assert journal.report("bob").agreement == 0.0


def test_what_is_taken_back_does_not_count() -> None:
    journal = Journal()
    said = journal.say("ann", "p", Choice.FIRST, seconds=0.1)
    journal.say("bob", "p", Choice.FIRST)
    journal.say("ann", "q", Choice.SECOND)
    journal.add("bob", Retraction(run_id="run", retracted_event_id=said))
    assert journal.report("ann").answers == 2, "it was not bob's"
    for _ in range(2):
        journal.add("ann", Retraction(run_id="run", retracted_event_id=said))
    report = journal.report("ann")
    assert (report.answers, report.shared, report.first_share, report.fast_share) == (1, 0, 0.0, 0.0)
    assert journal.report("bob").shared == 0
    assert journal.ledger.alpha() is None


def test_always_the_same_side_is_flagged_and_says_when() -> None:
    journal = Journal()
    for number in range(40):
        journal.say("lazy", f"p{number}", Choice.SECOND)
        journal.say("ann", f"q{number}", Choice.FIRST if number % 3 else Choice.SECOND)
    (flag,) = journal.flags
    assert (flag.teacher_id, flag.reason, flag.shared) == ("lazy", Reason.SAME_SIDE, 0)
    # One of two sides, a quarter of one per cent, and the first answer that suffices.
    evidence = [share_evidence(n, n, most=0.6) - math.log(2) for n in range(40)]
    assert flag.answers == next(n for n in range(40) if evidence[n] >= math.log(1 / 0.0025))
    assert flag.evidence == pytest.approx(evidence[flag.answers])
    assert flag.offset == 2 * (flag.answers - 1)
    assert journal.report("lazy").flags == (flag,)
    assert "same side" in str(flag)
    assert "still counts" in str(flag)


def test_answers_faster_than_a_look_are_flagged_unless_few_or_allowed() -> None:
    journal, allowing = Journal(), Journal(look_seconds=0.0)
    sides = (Choice.FIRST, Choice.SECOND)
    for number in range(40):
        for each in (journal, allowing):
            each.say("lazy", f"p{number}", sides[number % 2], seconds=0.05)
            each.say("ann", f"q{number}", sides[number % 2], seconds=0.4 if number % 6 == 0 else 0.5)
    (flag,) = journal.flags
    assert (flag.teacher_id, flag.reason) == ("lazy", Reason.TOO_FAST)
    assert flag.answers < 10
    assert allowing.flags == []
    assert allowing.report("ann").fast_share is None


def crowd(journal: Journal, adversary: str, *, teachers: tuple[str, ...], questions: int) -> list:
    """Every two teachers share questions in turn, and only the adversary is wrong."""
    rng, flags = np.random.default_rng(0), []
    for number in range(questions):
        right = Choice.FIRST if rng.random() < 0.5 else Choice.SECOND
        wrong = Choice.SECOND if right is Choice.FIRST else Choice.FIRST
        for teacher in rng.choice(teachers, 2, replace=False):
            journal.say(str(teacher), f"p{number}", wrong if teacher == adversary else right)
        flags += journal.ledger.look()
    return flags


def test_an_adversary_is_flagged_once() -> None:
    journal = Journal()
    (flag,) = crowd(journal, "eve", teachers=("ann", "bob", "cem", "dan", "eve"), questions=120)
    assert (flag.teacher_id, flag.reason) == ("eve", Reason.ADVERSARY)
    assert flag.shared <= 30
    assert flag.evidence >= math.log(200)
    assert journal.ledger.look() == []
    assert journal.report("eve").agreement == 0.0
    assert journal.report("ann").flags == ()
    assert journal.ledger.alpha() == pytest.approx(0.2, abs=0.25)


def test_a_trusted_teacher_tells_who_is_wrong_where_two_are_alone() -> None:
    assert crowd(Journal(), "eve", teachers=("ann", "eve"), questions=60) == []
    (flag,) = crowd(Journal(trusted=("ann",)), "eve", teachers=("ann", "eve"), questions=60)
    assert flag.teacher_id == "eve"


def test_nothing_new_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, looks = Journal(), []
    monkeypatch.setattr(
        "hitl.reliability.ledger.adversary_evidence", lambda *a, **k: looks.append(1) or np.zeros(2)
    )
    for teacher in ("ann", "bob"):
        said = journal.say(teacher, "p", Choice.FIRST)
    for _ in range(3):
        journal.ledger.look()
    assert len(looks) == 1
    journal.add("bob", Retraction(run_id="run", retracted_event_id=said))
    journal.ledger.look()
    assert len(looks) == 1, "nobody shares anything any more"


def test_a_pair_is_known_once_two_agree() -> None:
    journal = Journal(trusted=("boss",))
    journal.say("ann", "p", Choice.FIRST)
    assert journal.ledger.known_pairs() == {}
    journal.say("bob", "p", Choice.SECOND, turned=True)
    journal.say("ann", "q", Choice.FIRST)
    journal.say("bob", "q", Choice.SECOND)
    journal.say("ann", "t", Choice.TIE)
    journal.say("bob", "t", Choice.TIE)
    journal.say("boss", "r", Choice.SECOND)
    journal.say("boss", "s", Choice.SECOND)
    journal.say("ann", "s", Choice.FIRST)
    assert journal.ledger.known_pairs() == {("run", "p-a", "p-b"): 1.0, ("run", "r-a", "r-b"): -1.0}
    assert journal.ledger.teachers_of(("run", "p-a", "p-b")) == {"ann", "bob"}


def test_without_a_clock_a_flag_for_haste_does_not_count() -> None:
    journal = Journal()
    for teacher in ("lazy", "ann"):
        journal.say(teacher, "p", Choice.FIRST, seconds=0.05 if teacher == "lazy" else 2.0)
    for number in range(30):
        journal.say("lazy", f"q{number}", (Choice.FIRST, Choice.SECOND)[number % 2], seconds=0.05)
    assert [flag.reason for flag in journal.flags] == [Reason.TOO_FAST]
    assert journal.ledger.known_pairs() == {}
    assert journal.ledger.known_pairs(timed=False) == {("run", "p-a", "p-b"): 1.0}
    for number in range(60):
        journal.say("lazy", f"r{number}", Choice.FIRST, seconds=0.05)
    assert journal.ledger.known_pairs(timed=False) == {}


def test_what_the_flagged_say_makes_nothing_known() -> None:
    journal = Journal()
    journal.say("lazy", "p", Choice.FIRST)
    journal.say("ann", "p", Choice.FIRST)
    assert journal.ledger.known_pairs()
    for number in range(30):
        journal.say("lazy", f"q{number}", Choice.FIRST)
    assert journal.ledger.known_pairs() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": 0.5},
        {"adversaries": 0.5},
        {"side_share": 1.0},
        {"fast_share": 0.0},
        {"look_seconds": -1.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        ReliabilitySettings(**wrong)  # type: ignore[arg-type]
