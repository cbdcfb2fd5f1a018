"""What asking knows of questions that several teachers answer; nothing here needs Ray."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cluster.feedback.questions.asking as module
from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.publisher import Asked, Cutting
from hitl.errors import DeadlineExceeded
from hitl.events import PairQuestion, Question, Run
from hitl.reward.questions.schedule import QuestionSchedule
from tests.hitl.live import make_segment

SCHEDULE = QuestionSchedule(
    budget=10, initial=4, initial_env_steps=0, per_round=2, round_env_steps=10, max_open=5
)


class Publisher:
    """Takes what it is given, but for some."""

    def __init__(self) -> None:
        self.ask = self
        self.lost: set[str] = set()
        self.asked: list[Question] = []
        self.published: list[str] = []

    def remote(self, questions: Sequence[Question], cuttings: Sequence[Cutting]) -> Asked:
        self.asked = list(questions)
        self.published = [cutting.segment.segment_id for cutting in cuttings]
        return Asked(question_ids=[q.question_id for q in questions if q.question_id not in self.lost])


@pytest.fixture
def news() -> threading.Event:
    """Such that nobody waits by any other clock than the test's."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    monkeypatch.setattr(module.ray, "wait", lambda references, timeout: (references, []))
    monkeypatch.setattr(module.ray, "get", lambda reference: reference)
    return Publisher()


def asking(publisher: Publisher, share: Callable[..., Any], **changes: Any) -> Asking:
    run = Run(
        run_id="run", task_id="task", epoch=1, progress=None, open_questions=0, answered_questions=0,
        closed_questions=0, journal_end=0,
    )  # type: ignore[arg-type]  # fmt: skip
    settings = {"prefix": "q1-", "publisher": publisher, "expire_seconds": 60.0, "waits": True, **changes}
    return Asking(SCHEDULE, run, share=share, **settings)


def twice(questions: Sequence[Question]) -> list[Question]:
    """The first one wants two answers, and the last one is left out for that."""
    return [replace(questions[0], answers=2), *questions[1:-1]]


def questions(asking: Asking, count: int) -> tuple[list[Question], list[Cutting]]:
    asked: list[Question] = []
    cuttings = []
    for _ in range(count):
        name = asking.new_id()
        for side in "ab":
            segment = make_segment(f"{name}{side}")
            cuttings.append(Cutting(segment=segment, rollout="r", row_L=np.arange(4), column=0))
        asked.append(
            PairQuestion(
                question_id=name, run_id="run", first_segment_id=f"{name}a", second_segment_id=f"{name}b"
            )
        )
    return asked, cuttings


def test_wanted_answers_count_against_the_budget(publisher: Publisher) -> None:
    one = asking(publisher, twice)
    one.ask(*questions(one, one.due(0)), env_steps=0)
    assert [question.answers for question in publisher.asked] == [2, 1, 1]
    assert len(publisher.published) == 6, "nobody is asked about what was left out"
    assert (one.open, one.asked, one.answers) == (3, 4, 0)
    one.take_answer("q1-00001")
    assert (one.open, one.asked, one.answers) == (2, 4, 1)
    one.take_answer("q1-00001")
    assert (one.open, one.asked, one.answers, len(one.answered)) == (2, 4, 2, 1)


def test_a_second_answer_is_not_one_to_a_question_of_an_earlier_life(publisher: Publisher) -> None:
    one = asking(publisher, list)
    one._expire_time = {f"{module._EARLIER} {n}": one.expires() for n in range(2)}
    for _ in range(2):
        one.take_answer("q0-00007")
    assert (one.open, one.answers) == (1, 2)


def test_what_could_not_be_asked_is_not_waited_for(publisher: Publisher) -> None:
    publisher.lost = {"q1-00001"}
    one = asking(publisher, twice)
    one.ask(*questions(one, 3), env_steps=0)
    assert (one.open, one.asked) == (1, 1)


def test_second_answers_that_never_come_free_the_budget(publisher: Publisher) -> None:
    one = asking(publisher, twice, expire_seconds=-1.0)
    one.ask(*questions(one, 3), env_steps=0)
    assert one.asked == 3
    one.due(0)
    assert one.asked == 0


def test_lockstep_waits_for_first_answers_and_then_while_more_come(
    publisher: Publisher, news: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    one = asking(publisher, lambda asked: [replace(question, answers=2) for question in asked])
    one.ask(*questions(one, 2), env_steps=0)
    coming = {10.0: "q1-00001", 20.0: "q1-00002", 24.0: "q1-00001", 28.5: "q1-00002"}

    def look() -> None:
        clock[0] += 0.5
        if clock[0] in coming:
            one.take_answer(coming[clock[0]])

    one.wait_for_answers(look, news=news, timeout_seconds=100.0)
    assert (clock[0], one.answers, one.asked) == (28.5, 4, 4)


def test_lockstep_waits_for_all_that_several_programs_are_asked(
    publisher: Publisher, news: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def all_twice(asked: Sequence[Question]) -> list[Question]:
        return [replace(question, answers=2) for question in asked]

    one = asking(publisher, all_twice, several_teachers=True)
    one.ask(*questions(one, 2), env_steps=0)
    coming = {10.0: "q1-00001", 20.0: "q1-00002", 24.0: "q1-00001", 80.0: "q1-00002"}

    def look() -> None:
        clock[0] += 0.5
        if clock[0] in coming:
            one.take_answer(coming[clock[0]])

    one.wait_for_answers(look, news=news, timeout_seconds=100.0)
    assert (clock[0], one.answers) == (80.0, 4)
    one.ask(*questions(one, 2), env_steps=0)
    coming = {90.0: "q1-00003", 91.0: "q1-00003", 92.0: "q1-00004"}
    with pytest.raises(DeadlineExceeded, match="1 questions had no answer after 50 s, or no second one"):
        one.wait_for_answers(look, news=news, timeout_seconds=50.0)


def test_one_teacher_alone_holds_nobody_up(
    publisher: Publisher, news: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    one = asking(publisher, lambda asked: [replace(question, answers=2) for question in asked])

    def look() -> None:
        clock[0] += 0.5
        if one.open:
            one.take_answer(next(iter(one._expire_time)))

    for waited in (module.MORE_SECONDS, 0.0):
        begun = clock[0]
        one.ask(*questions(one, 1), env_steps=0)
        one.wait_for_answers(look, news=news, timeout_seconds=100.0)
        assert clock[0] - begun == 0.5 + waited
    one.take_answer("q1-00001")
    assert one._others_answer
    assert one.asked == 4
