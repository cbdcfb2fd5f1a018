"""Nobody waits longer than needed: the handlers without any transport, and with the slow poll out of the way."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hitl.errors import Unavailable
from hitl.metrics import build
from hitl.service import teaching, training, watching
from hitl.service.bells import Bell, Bells
from hitl.service.call import Call
from hitl.service.metrics import TABLE
from hitl.service.stages import Stages
from hitl.stages import StageFrame, StageState
from hitl.storage.runs import RunEpoch
from hitl.storage.storage import Storage
from hitl.storage.turns import lot_of
from hitl.tokens import Principal, Role
from hitl.v1 import teaching_pb2, training_pb2, types_pb2
from hitl.wire.segments import encode_segment
from tests.hitl.live import make_segment
from tests.hitl.playing import FOUR_ACTIONS

# Far above what waking takes, and far below the slow poll.
SOON_SECONDS = 20
NEVER_SECONDS = 10_000
FIRST_PLACE = lot_of("question") % 2


def call(name: str, role: Role = "teacher") -> Call:
    return Call(Principal(name, role, None, expire_seconds=2**40))


class Handlers:
    def __init__(self, storage: Storage) -> None:
        self.bells, self.stages = Bells(), Stages()
        self.teaching = teaching.TeachingHandlers(storage, self.bells, self.stages, build(TABLE))
        self.training = training.TrainingHandlers(storage, self.bells, self.stages)
        self.epoch = training_pb2.RunEpoch(run_id="run", epoch=1)

    async def open(self) -> None:
        task = {"task_id": "task", "name": "Task-v0", "fingerprint": "{}"}
        await self.training.RegisterTask(training_pb2.RegisterTaskRequest(task=task), call("driver"))
        request = training_pb2.OpenRunRequest(run_id="run", task_id="task")
        await self.training.OpenRun(request, call("driver"))
        records = [{"segment": encode_segment(make_segment(segment_id))} for segment_id in ("low", "high")]
        publish = training_pb2.PublishSegmentsRequest(run=self.epoch, segments=records)
        await self.training.PublishSegments(publish, call("driver"))

    async def ask(self, *, answers: int = 0) -> None:
        pair = {"first_segment_id": "low", "second_segment_id": "high"}
        question = types_pb2.Question(question_id="question", run_id="run", pair=pair, answers=answers)
        request = training_pb2.AskQuestionsRequest(run=self.epoch, questions=[question])
        await self.training.AskQuestions(request, call("driver"))

    async def lease(self, name: str, *, lease: timedelta = timedelta(minutes=5), **turn: int) -> list[str]:
        request = teaching_pb2.LeaseQuestionsRequest(
            run_id="run", wait=timedelta(seconds=55), lease=lease, **turn
        )
        response = await self.teaching.LeaseQuestions(request, call(name))
        return [leased.question.question_id for leased in response.questions]

    async def answer(self) -> None:
        comparison = {"question_id": "question", "choice": types_pb2.CHOICE_FIRST}
        event = types_pb2.FeedbackEvent(event_id="event", run_id="run", comparison=comparison)
        response = await self.teaching.SubmitEvents(
            teaching_pb2.SubmitEventsRequest(events=[event]), call("ann")
        )
        assert response.results[0].HasField("receipt")

    def tail(self) -> AsyncIterator[training_pb2.TailJournalResponse]:
        return self.training.TailJournal(training_pb2.TailJournalRequest(run_id="run"), call("driver"))


@pytest.fixture
async def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Handlers]:
    monkeypatch.setattr(teaching, "SLOW_POLL_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(watching, "SLOW_POLL_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(training, "SLOW_POLL_SECONDS", NEVER_SECONDS)
    storage = Storage(tmp_path)
    opened = Handlers(storage)
    await opened.open()
    yield opened
    storage.close()


async def started(waiting: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """Start something and let it come to its wait."""
    task = asyncio.create_task(waiting)
    done, _ = await asyncio.wait([task], timeout=0.2)
    assert not done, "there was nothing to wait for"
    return task


async def soon(task: "asyncio.Task[Any]") -> Any:
    return await asyncio.wait_for(task, SOON_SECONDS)


async def test_a_question_wakes_a_teacher(handlers: Handlers) -> None:
    waiting = await started(handlers.lease("ann"))
    await handlers.ask()
    assert await soon(waiting) == ["question"]


async def test_a_released_question_wakes_a_teacher(handlers: Handlers) -> None:
    await handlers.ask()
    await handlers.lease("bob")
    waiting = await started(handlers.lease("ann"))
    request = teaching_pb2.ReleaseQuestionsRequest(run_id="run", question_ids=["question"])
    await handlers.teaching.ReleaseQuestions(request, call("bob"))
    assert await soon(waiting) == ["question"]


async def test_the_end_of_a_lease_wakes_a_teacher(handlers: Handlers) -> None:
    await handlers.ask()
    await handlers.lease("bob", lease=timedelta(seconds=0.8))
    waiting = await started(handlers.lease("ann"))
    assert await soon(waiting) == ["question"]


async def test_whoever_has_the_turn_is_woken_by_all_that_brings_it(handlers: Handlers) -> None:
    first, second = ({"place": (FIRST_PLACE + passed) % 2, "places": 2} for passed in range(2))
    waiting = {
        name: await started(handlers.lease(name, **turn)) for name, turn in (("ann", first), ("bob", second))
    }
    await handlers.ask(answers=2)
    assert await soon(waiting["ann"]) == ["question"]
    again = await started(handlers.lease("cem", **first))
    request = teaching_pb2.ReleaseQuestionsRequest(run_id="run", question_ids=["question"])
    await handlers.teaching.ReleaseQuestions(request, call("ann"))
    assert await soon(again) == ["question"]
    await handlers.teaching.ReleaseQuestions(request, call("cem"))
    assert await handlers.lease("ann", lease=timedelta(seconds=0.8), **first) == ["question"]
    again = await started(handlers.lease("cem", **first))
    assert await soon(again) == ["question"], "the end of a lease"
    await handlers.teaching.ReleaseQuestions(request, call("cem"))
    done, _ = await asyncio.wait([waiting["bob"]], timeout=0.2)
    assert not done, "looked again, and found nothing"
    await handlers.answer()
    assert await soon(waiting["bob"]) == ["question"]


async def test_the_end_of_the_service_wakes_a_teacher(handlers: Handlers) -> None:
    waiting = await started(handlers.lease("ann"))
    handlers.bells.close()
    assert await soon(waiting) == []


async def test_an_answer_wakes_the_tail(handlers: Handlers) -> None:
    await handlers.ask()
    tail = handlers.tail()
    waiting = await started(anext(tail))  # type: ignore[arg-type]
    await handlers.answer()
    (entry,) = (await soon(waiting)).entries
    assert (entry.offset, entry.teacher_id) == (0, "ann")
    ending = await started(anext(tail))  # type: ignore[arg-type]
    handlers.bells.close()
    with pytest.raises(Unavailable, match="tail again"):
        await soon(ending)


async def test_what_is_made_of_a_stage_wakes_those_who_watch(handlers: Handlers) -> None:
    stage = handlers.stages.open(
        RunEpoch("run", 1), "task", "stage", FOUR_ACTIONS, end_frame=0, known_frame=-1
    )
    stage.show(StageFrame(frame=0, episode=0, show_seconds=0.0, observations={}, step=None))
    request = teaching_pb2.WatchStageRequest(run_id="run", stage_id="stage")
    watch = handlers.teaching.WatchStage(request, call("ann"))
    assert not (await soon(asyncio.create_task(anext(watch)))).state.paused  # type: ignore[arg-type]
    waiting = await started(anext(watch))  # type: ignore[arg-type]
    stage.become(StageState(paused=True))
    assert (await soon(waiting)).state.paused


async def test_a_bell_that_rang_before_the_wait_is_not_missed() -> None:
    bell = Bell()
    before = bell.count
    bell.ring()
    await asyncio.wait_for(bell.wait(before, NEVER_SECONDS), SOON_SECONDS)
