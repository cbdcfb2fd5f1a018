"""What teachers may do: the handlers of TeachingService."""

import asyncio
import time
from asyncio import wrap_future
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from hitl.errors import Busy, InvalidRequest, NotFound, RequestError, Unavailable
from hitl.events import (
    Abstention,
    Answer,
    Comparison,
    Correction,
    Demonstration,
    Goal,
    Ranking,
    Rating,
    Relabel,
    Retraction,
    Signal,
)
from hitl.fields import check_count, check_id, check_offset, decode_duration, encode_time
from hitl.metrics import Metrics
from hitl.questions import Turn
from hitl.service.bells import SLOW_POLL_SECONDS, Bells
from hitl.service.call import Call
from hitl.service.demonstrating import new_demonstration
from hitl.service.playing import queue_steps
from hitl.service.quota import Quota
from hitl.service.stages import Stages
from hitl.service.watching import WatchingHandlers
from hitl.storage import journal, questions, runs, segments, showings
from hitl.storage.clock import now_us, to_us
from hitl.storage.journal import Appended, NewEvent
from hitl.storage.storage import Storage
from hitl.v1 import teaching_pb2, types_pb2
from hitl.wire.events import decode_event, encode_receipt, encode_refusal
from hitl.wire.runs import encode_run
from hitl.wire.stages import encode_clip

_DEFAULT_LEASE: Final = timedelta(seconds=60)
_MAX_LEASE: Final = timedelta(hours=1)
_MAX_WAIT: Final = timedelta(seconds=60)
_MAX_QUESTIONS: Final = 100
_MAX_EVENTS: Final = 10_000
# Of one teacher: no person presses keys so fast.
_STAGE_EVENTS_PER_SECOND: Final = 100.0
_STAGE_EVENTS_AT_ONCE: Final = 200
# What is left of the caller's deadline for the way back.
_RETURN_SECONDS: Final = 0.25


class TeachingHandlers(WatchingHandlers):
    """Serves teachers; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage, bells: Bells, stages: Stages, metrics: Metrics) -> None:
        super().__init__(storage, bells, stages)
        self._quota = Quota(_STAGE_EVENTS_PER_SECOND, _STAGE_EVENTS_AT_ONCE)
        self._answers = metrics.counter("hitl_feedback_answers_total")
        self._retractions = metrics.counter("hitl_feedback_retractions_total")
        self._signals = metrics.counter("hitl_feedback_signals_total")
        self._corrections = metrics.counter("hitl_feedback_corrections_total")
        self._relabels = metrics.counter("hitl_feedback_relabels_total")
        self._rankings = metrics.counter("hitl_feedback_rankings_total")
        self._ratings = metrics.counter("hitl_feedback_ratings_total")
        self._goals = metrics.counter("hitl_feedback_goals_total")
        self._demonstrated = metrics.counter("hitl_feedback_demonstrated_steps_total")
        self._thinking = metrics.histogram("hitl_feedback_thinking_duration_seconds")
        self._last_answer = metrics.gauge("hitl_feedback_last_answer_timestamp_seconds")
        self._refused = metrics.counter("hitl_feedback_refused_events_total")

    async def ListRuns(
        self, request: teaching_pb2.ListRunsRequest, call: Call
    ) -> teaching_pb2.ListRunsResponse:
        """List the runs that the caller's token is good for, newest first."""
        listed = await wrap_future(self._storage.read(runs.list_runs, call.principal.runs))
        return teaching_pb2.ListRunsResponse(runs=[encode_run(run) for run in listed])

    async def LeaseQuestions(
        self, request: teaching_pb2.LeaseQuestionsRequest, call: Call
    ) -> teaching_pb2.LeaseQuestionsResponse:
        """Lease open questions, waiting for the first as long as the caller wants and can."""
        run_id = check_id(request.run_id, "run_id")
        call.check_run(run_id)
        limit = min(check_count(request.max_questions, "max_questions") or 1, _MAX_QUESTIONS)
        lease = decode_duration(request.lease, "lease") if request.HasField("lease") else _DEFAULT_LEASE
        if not timedelta(0) < lease <= _MAX_LEASE:
            raise InvalidRequest(f"lease: {lease} is not above 0 and at most {_MAX_LEASE}")
        wait = min(decode_duration(request.wait, "wait"), _MAX_WAIT).total_seconds()
        wait = min(wait, call.seconds_left() - _RETURN_SECONDS)
        # A place without places would else be taken for none.
        turn = Turn(request.place, request.places) if request.places or request.place else None
        await wrap_future(self._storage.read(runs.require_run, run_id))
        end = time.monotonic() + wait
        leased = await self._lease(run_id, call.principal.name, limit, lease, end, turn)
        try:
            return teaching_pb2.LeaseQuestionsResponse(
                questions=[await self._with_segments(run_id, question, call) for question in leased]
            )
        except BaseException:
            self._give_back(leased, run_id, call.principal.name)
            raise

    async def _lease(
        self, run_id: str, teacher_id: str, limit: int, lease: timedelta, end: float, turn: Turn | None
    ) -> tuple[questions.Leased, ...]:
        bell, lease_us = self._bells.questions(run_id), lease // timedelta(microseconds=1)
        while True:
            rings = bell.count
            future = self._storage.write(questions.lease_questions, run_id, teacher_id, limit, lease_us, turn)
            try:
                result = await wrap_future(future)
            except asyncio.CancelledError:
                future.add_done_callback(lambda done: self._give_back_result(done, run_id, teacher_id))
                raise
            seconds_left = end - time.monotonic()
            if result.leased or seconds_left <= 0 or self._bells.closing:
                return result.leased
            pause = min(seconds_left, SLOW_POLL_SECONDS)
            if result.next_end is not None:
                pause = min(pause, max(to_us(result.next_end) - now_us(), 0) / 1e6 + 0.001)
            await bell.wait(rings, pause)

    def _give_back_result(
        self, leasing: "Future[questions.LeaseResult]", run_id: str, teacher_id: str
    ) -> None:
        if not leasing.cancelled() and leasing.exception() is None:
            self._give_back(leasing.result().leased, run_id, teacher_id)

    def _give_back(self, leased: tuple[questions.Leased, ...], run_id: str, teacher_id: str) -> None:
        """Release what was leased in the name of a caller who is gone: it would be lost to others."""
        ids = [question.question_id for question in leased]
        with suppress(Busy, Unavailable):
            self._storage.write(questions.release_questions, run_id, teacher_id, ids)

    async def _with_segments(
        self, run_id: str, leased: questions.Leased, call: Call
    ) -> teaching_pb2.LeasedQuestion:
        storage, ids = self._storage, leased.segment_ids
        bodies = await wrap_future(storage.read(segments.load_segments, storage.blobs, run_id, ids))
        question = types_pb2.Question.FromString(leased.body)
        # Who knew that others answer it as well might answer with more care.
        question.ClearField("answers")
        message = teaching_pb2.LeasedQuestion(
            question=question,
            lease_expire_time=encode_time(leased.lease_end),
            segments=[types_pb2.Segment.FromString(body) for body in bodies],
        )
        if call.principal.role == "oracle":
            rewards = await wrap_future(storage.read(segments.load_true_rewards, run_id, ids))
            if all(segment_id in rewards for segment_id in ids):
                message.true_rewards.extend(types_pb2.Tensor.FromString(rewards[id]) for id in ids)
        return message

    async def GetClip(self, request: teaching_pb2.GetClipRequest, call: Call) -> teaching_pb2.GetClipResponse:
        """Send the clip of a segment, where there is one."""
        run_id, segment_id = check_id(request.run_id, "run_id"), check_id(request.segment_id, "segment_id")
        call.check_run(run_id)
        clip = await wrap_future(
            self._storage.read(segments.load_clip, self._storage.blobs, run_id, segment_id)
        )
        return teaching_pb2.GetClipResponse(clip=encode_clip(clip) if clip else None)

    async def ReleaseQuestions(
        self, request: teaching_pb2.ReleaseQuestionsRequest, call: Call
    ) -> teaching_pb2.ReleaseQuestionsResponse:
        """Give the caller's leases back."""
        run_id = check_id(request.run_id, "run_id")
        call.check_run(run_id)
        ids = [check_id(id, "question_ids") for id in request.question_ids]
        await wrap_future(self._storage.write(questions.release_questions, run_id, call.principal.name, ids))
        self._bells.questions(run_id).ring()
        return teaching_pb2.ReleaseQuestionsResponse()

    async def SubmitEvents(
        self, request: teaching_pb2.SubmitEventsRequest, call: Call
    ) -> teaching_pb2.SubmitEventsResponse:
        """Record each event that can be, and say of the others why not."""
        if not 0 < len(request.events) <= _MAX_EVENTS:
            raise InvalidRequest(f"events: {len(request.events)} in one call; send 1 to {_MAX_EVENTS}")
        checked = [await self._checked(message, place, call) for place, message in enumerate(request.events)]
        good = [new for new in checked if isinstance(new, NewEvent)]
        appended = await wrap_future(self._storage.write_together(journal.append_events, good))
        outcomes = iter(appended)
        results = [next(outcomes) if isinstance(new, NewEvent) else new for new in checked]
        for run_id in {result.receipt.run_id for result in appended if isinstance(result, Appended)}:
            self._bells.journal(run_id).ring()
        for run_id in {r.receipt.run_id for r in appended if isinstance(r, Appended) and r.wants_more}:
            self._bells.questions(run_id).ring()
        for new, outcome in zip(good, appended, strict=True):
            self._count(new, outcome)
        return teaching_pb2.SubmitEventsResponse(results=[self._result(result) for result in results])

    async def Demonstrate(
        self, request: teaching_pb2.DemonstrateRequest, call: Call
    ) -> teaching_pb2.DemonstrateResponse:
        """Record a demonstration with its steps."""
        call.check_run(check_id(request.run_id, "run_id"))
        self._quota.take(call.principal.name)
        new = await new_demonstration(self._storage, request, call.principal.name)
        (outcome,) = await wrap_future(self._storage.write_together(journal.append_events, [new]))
        if isinstance(outcome, RequestError):
            raise outcome
        self._bells.journal(request.run_id).ring()
        self._count(new, outcome)
        return teaching_pb2.DemonstrateResponse(receipt=encode_receipt(outcome.receipt))

    async def _checked(
        self, message: types_pb2.FeedbackEvent, place: int, call: Call
    ) -> NewEvent | RequestError:
        teacher_id = call.principal.name
        try:
            event = decode_event(message, f"events[{place}]")
            call.check_run(event.run_id)
            if isinstance(event, Demonstration):
                raise InvalidRequest(
                    f"events[{place}].demonstration: comes without its steps; call Demonstrate"
                )
            body = message.SerializeToString(deterministic=True)
            if isinstance(event, Signal | Correction):
                self._quota.take(teacher_id)
                return await self._on_stage(NewEvent(teacher_id, event, body), event)
        except RequestError as error:
            return error
        return NewEvent(teacher_id, event, body)

    async def _on_stage(self, new: NewEvent, event: Signal | Correction) -> NewEvent:
        """Queue what the event is about for the disk, and name it, or say why the event cannot be recorded."""
        stage = self._stages.find(event.run_id, event.stage_id)
        try:
            check_offset(event.offset, "offset")
            if stage is None or not stage.open:
                await self._check_known(event)
                return new
            state = stage.corrected_state(event, new.teacher_id) if isinstance(event, Correction) else None
            if state is None:
                stage.check_shown(event.frame)
            async with stage.storing:
                ids, stored = await queue_steps(self._storage, stage, state)
            # The event is queued behind them, and refused if they are not stored after all.
            stored.add_done_callback(lambda done: done.cancelled() or done.exception())
            return replace(new, needs=(state.segment_id,) if state else ids)
        except RequestError as error:
            return replace(new, objection=error)

    async def _check_known(self, event: Signal | Correction) -> None:
        """Check an event on a stage that is away: the steps that it is about may be durable.

        Raises:
            NotFound: there never was such a stage.
            Unavailable: they are not, but may be once the stage is back.
        """
        end = await wrap_future(self._storage.read(showings.end_frame, event.run_id, event.stage_id))
        if not end:
            raise NotFound(
                f"run {event.run_id} has no stage {event.stage_id}; ListStages tells which there are"
            )
        if isinstance(event, Correction) or event.frame >= end:
            raise Unavailable(f"stage {event.stage_id} is away; try again")

    def _count(self, new: NewEvent, outcome: Appended | RequestError) -> None:
        if isinstance(outcome, RequestError) or not outcome.new:
            return
        match new.event:
            case Comparison(choice=choice):
                self._answers.labels(choice.value).inc()
            case Relabel(answer=answer):
                self._relabels.labels(_label(answer, "action")).inc()
            case Ranking(ranks=ranks):
                self._rankings.labels(_label(ranks, "ranks")).inc()
            case Rating(rating=rating):
                self._ratings.labels(_label(rating, "rating")).inc()
            case Goal(reached=reached):
                self._goals.labels(_label(reached, "yes" if reached else "no")).inc()
            case Demonstration(begin=begin, end=end):
                self._demonstrated.inc(end - begin)
            case Signal():
                self._signals.labels("yes" if outcome.segments else "no").inc()
            case Correction():
                self._corrections.inc()
            case Retraction():
                self._retractions.inc()
        if isinstance(new.event, Answer):
            self._thinking.observe(new.event.thinking_time.total_seconds())
            self._last_answer.set(outcome.receipt.record_time.timestamp())

    def _result(self, result: Appended | RequestError) -> teaching_pb2.EventResult:
        if isinstance(result, Appended):
            return teaching_pb2.EventResult(receipt=encode_receipt(result.receipt))
        self._refused.labels(result.status).inc()
        return teaching_pb2.EventResult(refusal=encode_refusal(result))


def _label(said: object, words: str) -> str:
    return said.value if isinstance(said, Abstention) else words
