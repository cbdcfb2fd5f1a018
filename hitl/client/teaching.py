"""The client of teachers, human or not."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from hitl.client.channel import Channel
from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.client.watching import StageWatch
from hitl.demonstrations import Piece
from hitl.errors import RequestError
from hitl.events import (
    Choice,
    Comparison,
    Event,
    GoalQuestion,
    PairQuestion,
    RankingQuestion,
    RatingQuestion,
    Receipt,
    RelabelQuestion,
    Retraction,
    Run,
)
from hitl.fields import decode_time, encode_duration
from hitl.questions import Turn
from hitl.stages import Clip, Control, Stage
from hitl.tensors import Array, decode_tensor
from hitl.v1 import teaching_pb2
from hitl.v1.teaching_pb2_grpc import TeachingServiceStub
from hitl.wire.demonstrations import encode_piece
from hitl.wire.events import decode_receipt, decode_refusal, encode_event
from hitl.wire.questions import decode_question
from hitl.wire.runs import decode_run
from hitl.wire.segments import decode_segment
from hitl.wire.stages import decode_clip, decode_stage, encode_control

_POLL_SECONDS = 20.0
_MAX_EVENTS = 1000
_MAX_UNACKNOWLEDGED = 64


class TeacherClient:
    """Teaches runs as the teacher whom the token names. Use it as a context manager.

    Calls that cannot reach the service are tried again for `patience_seconds`, or until `stop` is set; an
    event keeps its event_id then, so it counts once. Every method raises a `RequestError` that says why the
    service refused.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        patience_seconds: float = 60.0,
        stop: threading.Event | None = None,
    ) -> None:
        self._channel = Channel(address, token, patience_seconds=patience_seconds, stop=stop)
        self._stub = TeachingServiceStub(self._channel.grpc)

    def runs(self) -> list[Run]:
        """Return the runs that this teacher may teach, newest first."""
        response = self._channel.call(self._stub.ListRuns, teaching_pb2.ListRunsRequest())
        return [decode_run(run) for run in response.runs]

    def questions(
        self,
        run_id: str,
        *,
        wait_seconds: float | None = None,
        lease_seconds: float = 60.0,
        turn: Turn | None = None,
    ) -> Iterator[LeasedQuestion]:
        """Take one question after the other, each leased to this teacher for `lease_seconds`.

        Args:
            run_id: the run to teach.
            wait_seconds: end once this long nobody asked anything; None waits for ever, 0 not at all.
            lease_seconds: after this time an unanswered question goes to someone else.
            turn: of this teacher, if several alike take turns; None takes any question.
        """
        while True:
            end = float("inf") if wait_seconds is None else time.monotonic() + wait_seconds
            question = self._next_question(run_id, end, lease_seconds, turn)
            if question is None:
                return
            yield question

    def _next_question(
        self, run_id: str, end: float, lease_seconds: float, turn: Turn | None
    ) -> LeasedQuestion | None:
        while True:
            wait = min(max(end - time.monotonic(), 0.0), _POLL_SECONDS)
            leased = self.lease(run_id, wait_seconds=wait, lease_seconds=lease_seconds, turn=turn)
            if leased:
                return leased[0]
            if time.monotonic() >= end:
                return None

    def lease(
        self,
        run_id: str,
        *,
        max_questions: int = 1,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        turn: Turn | None = None,
    ) -> list[LeasedQuestion]:
        """Take up to so many questions at once, waiting up to a minute for the first; see `questions`."""
        request = teaching_pb2.LeaseQuestionsRequest(
            run_id=run_id,
            max_questions=max_questions,
            wait=encode_duration(timedelta(seconds=wait_seconds)),
            lease=encode_duration(timedelta(seconds=lease_seconds)),
            place=turn.place if turn else 0,
            places=turn.places if turn else 0,
        )
        response = self._channel.call(
            self._stub.LeaseQuestions, request, timeout_seconds=wait_seconds + _POLL_SECONDS
        )
        return [self._leased(message) for message in response.questions]

    def _leased(self, message: teaching_pb2.LeasedQuestion) -> LeasedQuestion:
        rewards: tuple[Array, ...] = tuple(
            decode_tensor(tensor, what="true_rewards") for tensor in message.true_rewards
        )
        content: dict[str, Any] = {
            "lease_expire_time": decode_time(message.lease_expire_time, "lease_expire_time"),
            "segments": tuple(decode_segment(segment) for segment in message.segments),
            "true_rewards": rewards or None,
            "_submit": self._submit_one,
            "_release": lambda question: self.release(question.run_id, [question.question_id]),
            "_clip": self.clip,
        }
        match decode_question(message.question):
            case PairQuestion() as question:
                return LeasedPair(question=question, **content)
            case RelabelQuestion() as question:
                return LeasedRelabel(question=question, **content)
            case RankingQuestion() as question:
                return LeasedRanking(question=question, **content)
            case RatingQuestion() as question:
                return LeasedRating(question=question, **content)
            case GoalQuestion() as question:
                return LeasedGoal(question=question, **content)

    def compare(
        self, run_id: str, question_id: str, choice: Choice, *, thinking_time: timedelta = timedelta(0)
    ) -> Receipt:
        """Answer a pair question by its id."""
        return self._submit_one(
            Comparison(run_id=run_id, question_id=question_id, choice=choice, thinking_time=thinking_time)
        )

    def retract(self, run_id: str, event_id: str) -> Receipt:
        """Take an earlier event of this teacher back: it stays in the journal and no longer counts."""
        return self._submit_one(Retraction(run_id=run_id, retracted_event_id=event_id))

    def demonstrate(self, piece: Piece) -> Receipt:
        """Show how to do it: steps that this teacher played in an environment of their own.

        Raises:
            InvalidRequest: the arrays have not one row a step, or are more than the service takes in one piece; send
                shorter pieces of the episode then, under one number.
            Conflict: another demonstration has this event_id.
        """
        response = self._channel.call(self._stub.Demonstrate, encode_piece(piece))
        return decode_receipt(response.receipt)

    def release(self, run_id: str, question_ids: Iterable[str]) -> None:
        """Give leased questions back unanswered, for someone else."""
        request = teaching_pb2.ReleaseQuestionsRequest(run_id=run_id, question_ids=question_ids)
        self._channel.call(self._stub.ReleaseQuestions, request)

    def clip(self, run_id: str, segment_id: str) -> Clip | None:
        """Return what a segment looks like; None where there is no clip of it."""
        request = teaching_pb2.GetClipRequest(run_id=run_id, segment_id=segment_id)
        response = self._channel.call(self._stub.GetClip, request)
        return decode_clip(response.clip) if response.HasField("clip") else None

    def stages(self, run_id: str) -> list[Stage]:
        """Return the stages of a run that are being played."""
        request = teaching_pb2.ListStagesRequest(run_id=run_id)
        response = self._channel.call(self._stub.ListStages, request)
        return [decode_stage(stage) for stage in response.stages]

    def watch(
        self,
        run_id: str,
        stage_id: str,
        *,
        images: bool = True,
        steps: bool = False,
        max_unacknowledged: int = 4,
    ) -> StageWatch:
        """Watch a stage: iterate over what this returns for frames, and say what you think of them.

        Args:
            run_id: of the stage.
            stage_id: one of `stages`.
            images: get pictures.
            steps: get the state that each frame shows; an oracle gets the true reward of each step with it.
            max_unacknowledged: frames that may be on their way, at most 64; more suit a network with long delays.
        """
        return StageWatch(
            self._channel,
            self._stub,
            self._submit_one,
            run_id=run_id,
            stage_id=stage_id,
            images=images,
            steps=steps,
            max_unacknowledged=min(max_unacknowledged, _MAX_UNACKNOWLEDGED),
        )

    def control(self, run_id: str, stage_id: str, control: Control) -> datetime | None:
        """Use the controls of a stage, for example `hitl.stages.Take()`.

        Returns:
            Until when they are this teacher's; None where they are not.

        Raises:
            NotYours: another teacher has them, or one would act without having taken them.
        """
        request = teaching_pb2.ControlStageRequest(
            run_id=run_id, stage_id=stage_id, control=encode_control(control)
        )
        response = self._channel.call(self._stub.ControlStage, request)
        if not response.HasField("lease_expire_time"):
            return None
        return decode_time(response.lease_expire_time, "lease_expire_time")

    def submit(self, events: Sequence[Event]) -> list[Receipt | RequestError]:
        """Record events; returns, in the same order, the receipt of each or the reason why it was refused.

        An event that was refused as `Busy` or `Unavailable` may be submitted again, with the same event_id.
        """
        results: list[Receipt | RequestError] = []
        for start in range(0, len(events), _MAX_EVENTS):
            messages = [encode_event(event) for event in events[start : start + _MAX_EVENTS]]
            request = teaching_pb2.SubmitEventsRequest(events=messages)
            response = self._channel.call(self._stub.SubmitEvents, request)
            results.extend(_result(message) for message in response.results)
        return results

    def _submit_one(self, event: Event) -> Receipt:
        patience = self._channel.patience()
        while True:
            (result,) = self.submit([event])
            if not isinstance(result, RequestError):
                return result
            patience.pause_or_raise(result)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _result(message: teaching_pb2.EventResult) -> Receipt | RequestError:
    if message.WhichOneof("result") == "receipt":
        return decode_receipt(message.receipt)
    return decode_refusal(message.refusal)
