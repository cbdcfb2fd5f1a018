"""What the reward trainer keeps of its teachers."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from cluster.feedback.questions.publisher import Cutting, Publisher
from cluster.feedback.teacher_watch import TeacherWatch
from cluster.runs.reward.config import RewardConfig
from hitl.events import Choice, Comparison, JournalEntry, PairQuestion, Task
from hitl.reward.online import FitReport, KindReport
from hitl.reward.rationality import Rationality
from tests.hitl.live import LiveRun, LiveService


def watch(*, lockstep: bool = False, **reward: Any) -> TeacherWatch:
    return TeacherWatch(RewardConfig.model_validate(reward), "run", seed=0, lockstep=lockstep)


def say(
    teachers: TeacherWatch, offset: int, teacher: str, pair: str, choice: Choice, *, run: str = "run"
) -> None:
    event = Comparison(
        run_id=run, question_id=f"q{offset}", choice=choice, thinking_time=timedelta(seconds=2)
    )
    teachers.take(
        JournalEntry(
            offset=offset,
            teacher_id=teacher,
            record_time=datetime.now(UTC),
            event=event,
            segment_ids=(f"{pair}-a", f"{pair}-b"),
        )
    )


def test_a_flag_is_an_alarm_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    teachers = watch(reliability={"trusted": ["boss"]})
    with caplog.at_level(logging.WARNING):
        for number in range(30):
            right, wrong = (Choice.FIRST, Choice.SECOND)[:: 1 if number % 2 else -1]
            say(teachers, 2 * number, "boss", f"p{number}", right)
            say(teachers, 2 * number + 1, "eve", f"p{number}", wrong)
            teachers.look()
    (record,) = caplog.records
    assert "teacher eve is flagged" in record.getMessage()
    assert "mostly the opposite" in record.getMessage()
    assert {r.teacher_id: len(r.flags) for r in teachers.reports(None)} == {"boss": 0, "eve": 1}


def test_in_lockstep_it_does_not_matter_how_often_it_is_looked() -> None:
    """One who is against at first and right for long after is flagged only by who looks in between."""

    def flags(*, lockstep: bool, looks: bool) -> list[int]:
        teachers = watch(lockstep=lockstep, reliability={"trusted": ["boss"]})
        for number in range(60):
            right, wrong = (Choice.FIRST, Choice.SECOND)[:: 1 if number % 2 else -1]
            say(teachers, 2 * number, "boss", f"p{number}", right)
            say(teachers, 2 * number + 1, "eve", f"p{number}", wrong if number < 15 else right)
            if looks:
                teachers.look()
        teachers.look()
        return [flag.offset for report in teachers.reports(None) for flag in report.flags]

    assert flags(lockstep=False, looks=False) == []
    often = flags(lockstep=False, looks=True)
    assert len(often) == 1
    assert flags(lockstep=True, looks=False) == flags(lockstep=True, looks=True) == often


def test_in_lockstep_haste_keeps_nothing_from_being_known() -> None:
    asked = [PairQuestion(question_id="q", run_id="run", first_segment_id="x", second_segment_id="y")]
    for lockstep in (True, False):
        teachers = watch(lockstep=lockstep, questions={"gold": 1.0}, reliability={"look_seconds": 3.0})
        say(teachers, 0, "ann", "p", Choice.FIRST)
        say(teachers, 1, "bob", "p", Choice.FIRST)
        for offset in range(2, 40):
            say(teachers, offset, "ann", f"q{offset}", (Choice.FIRST, Choice.SECOND)[offset % 2])
        (shared,) = teachers.share(asked)
        assert (set(shared.segment_ids) == {"p-a", "p-b"}) == lockstep


def test_reports_are_of_the_last_look_with_the_weights_of_a_fit() -> None:
    teachers = watch()
    say(teachers, 0, "ann", "p", Choice.FIRST)
    assert teachers.reports(None) == []
    say(teachers, 1, "bob", "p", Choice.SECOND)
    say(teachers, 2, "bob", "q", Choice.SECOND)
    teachers.look()
    known = {"ann": Rationality(pieces=1, mean=4.0, low=1.0, high=9.0, weight=3.0)}
    fit = FitReport(accepted=True, kinds={"comparisons": KindReport(teachers=known)})
    assert {r.teacher_id: r.weight for r in teachers.reports(fit)} == {"ann": 3.0, "bob": None}
    assert {r.weight for r in teachers.reports(FitReport(accepted=True, kinds={}))} == {None}
    assert teachers.agreement is not None
    assert teachers.agreement <= 0


def test_gold_is_of_the_runs_own_segments() -> None:
    teachers = watch(questions={"gold": 1.0})
    for offset, (name, run) in enumerate((n, r) for r in ("run", "other") for n in ("ann", "bob")):
        say(teachers, offset, name, f"of {run}", Choice.FIRST, run=run)
    asked = [
        PairQuestion(question_id=f"q{n}", run_id="run", first_segment_id="x", second_segment_id="y")
        for n in range(3)
    ]
    shared = teachers.share(asked)
    assert [set(question.segment_ids) for question in shared] == [
        {"of run-a", "of run-b"},
        {"x", "y"},
        {"x", "y"},
    ]


def test_what_is_known_of_many_teachers_is_kept_as_numbers() -> None:
    teachers = watch(reliability={"look_seconds": 3.0})
    for offset in range(10):
        say(teachers, offset, "ann", f"p{offset}", (Choice.FIRST, Choice.SECOND)[offset % 2])
    teachers.look()
    (report,) = teachers.reports(None)
    assert report.fast_share == 1.0
    assert report.to_json()["flags"] == ["too_fast"]


def test_a_question_about_segments_that_were_published_before_is_asked(service: LiveService) -> None:
    """A gold question brings no segments."""
    with service.cluster() as client, service.teacher() as ann:
        client.register_task(Task(task_id="gold", name="Gold-v0", fingerprint="{}"))
        live = LiveRun(client.open_run("gold", "gold"), client)
        live.publish("low", "high")
        token = service.token("cluster", "driver")
        publisher = Publisher(address=service.address, token=token, run=live.run, keep=1)
        gone = Cutting(segment=live.segment("gone"), rollout="unknown", row_L=np.zeros(4, np.int64), column=0)
        asked = [live.question("gold"), live.question("lost", first_segment_id="gone")]
        assert publisher.ask(asked, [gone]).question_ids == ["gold"]
        leased = ann.lease(live.run_id, max_questions=9)
        assert [question.question_id for question in leased] == ["gold"]
