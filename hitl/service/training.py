"""What the training cluster may do: the handlers of TrainingService."""

from asyncio import wrap_future
from collections.abc import AsyncIterator, Sequence
from typing import Final

from hitl.errors import InvalidRequest, Unavailable
from hitl.events import GoalQuestion, Question, RelabelQuestion
from hitl.fields import check_count, check_id, encode_time
from hitl.service.bells import SLOW_POLL_SECONDS, Bells
from hitl.service.call import Call
from hitl.service.playing import PlayingHandlers
from hitl.service.policies import PolicyHandlers
from hitl.service.stages import Stages
from hitl.storage import asking, journal, runs, segments
from hitl.storage.clock import from_us
from hitl.storage.journal import Entry
from hitl.storage.questions import NewQuestion
from hitl.storage.runs import RunEpoch
from hitl.storage.segments import StoredSegment
from hitl.storage.storage import Storage
from hitl.v1 import training_pb2, types_pb2
from hitl.wire.questions import decode_question
from hitl.wire.runs import decode_progress, decode_task, encode_run, encode_task
from hitl.wire.segments import decode_segment, decode_true_rewards
from hitl.wire.stages import decode_clip

_MAX_ITEMS: Final = 10_000
_MAX_ENTRIES: Final = 1000


class TrainingHandlers(PlayingHandlers, PolicyHandlers):
    """Serves the cluster; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage, bells: Bells, stages: Stages) -> None:
        PlayingHandlers.__init__(self, storage, stages)
        PolicyHandlers.__init__(self, storage)
        self._bells = bells

    async def RegisterTask(
        self, request: training_pb2.RegisterTaskRequest, call: Call
    ) -> training_pb2.RegisterTaskResponse:
        """Make a task known."""
        task = decode_task(request.task)
        await wrap_future(self._storage.write(runs.register_task, task))
        return training_pb2.RegisterTaskResponse(task=encode_task(task))

    async def OpenRun(self, request: training_pb2.OpenRunRequest, call: Call) -> training_pb2.OpenRunResponse:
        """Start a driver's life."""
        run_id, task_id = _run_id(request.run_id, call), check_id(request.task_id, "task_id")
        _check_number(request.reads_from, "reads_from")
        reads_from = [_run_id(other, call) for other in request.reads_from]
        run = await wrap_future(self._storage.write(runs.open_run, run_id, task_id, reads_from))
        return training_pb2.OpenRunResponse(run=encode_run(run))

    async def GetRun(self, request: training_pb2.GetRunRequest, call: Call) -> training_pb2.GetRunResponse:
        """Tell how a run stands."""
        run = await wrap_future(self._storage.read(runs.get_run, _run_id(request.run_id, call)))
        return training_pb2.GetRunResponse(run=encode_run(run))

    async def ListTaskRuns(
        self, request: training_pb2.ListTaskRunsRequest, call: Call
    ) -> training_pb2.ListTaskRunsResponse:
        """List the runs of a task, oldest first."""
        task_id = check_id(request.task_id, "task_id")
        listed = await wrap_future(self._storage.read(runs.list_runs, call.principal.runs))
        found = [encode_run(run) for run in reversed(listed) if run.task_id == task_id]
        return training_pb2.ListTaskRunsResponse(runs=found)

    async def ReportProgress(
        self, request: training_pb2.ReportProgressRequest, call: Call
    ) -> training_pb2.ReportProgressResponse:
        """Record how far a run is."""
        run, progress = _epoch(request.run, call), decode_progress(request.progress)
        await wrap_future(self._storage.write(runs.report_progress, run, progress))
        return training_pb2.ReportProgressResponse()

    async def PublishSegments(
        self, request: training_pb2.PublishSegmentsRequest, call: Call
    ) -> training_pb2.PublishSegmentsResponse:
        """Store segments durably."""
        run = _epoch(request.run, call)
        _check_number(request.segments, "segments")
        task_ids = {_check_record(record, place, run) for place, record in enumerate(request.segments)}
        stored = await wrap_future(self._storage.run(self._prepare, request.segments))
        await wrap_future(
            self._storage.write(
                asking.publish,
                run,
                stored,
                task_ids=task_ids,
                policy_version=max((r.segment.policy_version for r in request.segments), default=0),
            )
        )
        return training_pb2.PublishSegmentsResponse()

    def _prepare(self, records: Sequence[training_pb2.SegmentRecord]) -> list[StoredSegment]:
        return [
            segments.prepare_segment(
                self._storage.blobs,
                record.segment.segment_id,
                record.segment.SerializeToString(deterministic=True),
                record.true_rewards.SerializeToString() if record.HasField("true_rewards") else None,
                decode_segment(record.segment).showing if record.segment.HasField("showing") else None,
                decode_clip(record.clip) if record.HasField("clip") else None,
            )
            for record in records
        ]

    async def GetSegments(
        self, request: training_pb2.GetSegmentsRequest, call: Call
    ) -> training_pb2.GetSegmentsResponse:
        """Read segments back, without their true reward and clip."""
        run_id = _run_id(request.run_id, call)
        ids = _ids(request.segment_ids, "segment_ids")
        bodies = await wrap_future(
            self._storage.read(segments.load_segments, self._storage.blobs, run_id, ids)
        )
        return training_pb2.GetSegmentsResponse(
            segments=[types_pb2.Segment.FromString(body) for body in bodies]
        )

    async def AskQuestions(
        self, request: training_pb2.AskQuestionsRequest, call: Call
    ) -> training_pb2.AskQuestionsResponse:
        """Ask teachers."""
        run = _epoch(request.run, call)
        _check_number(request.questions, "questions")
        asked = [_question(message, place, run) for place, message in enumerate(request.questions)]
        await self._check_steps(run.run_id, [new.question for new in asked])
        await wrap_future(self._storage.write(asking.ask, run, asked))
        self._bells.questions(run.run_id).ring()
        return training_pb2.AskQuestionsResponse()

    async def _check_steps(self, run_id: str, asked: Sequence[Question]) -> None:
        """Check that the steps that questions name are there: segments never change once they are stored."""
        about_states = [
            question for question in asked if isinstance(question, RelabelQuestion | GoalQuestion)
        ]
        if not about_states:
            return
        ids = sorted({question.segment_id for question in about_states})
        bodies = await wrap_future(
            self._storage.read(segments.load_segments, self._storage.blobs, run_id, ids)
        )
        addresses = [types_pb2.Segment.FromString(body).address for body in bodies]
        steps = {id: address.end - address.begin for id, address in zip(ids, addresses, strict=True)}
        for question in about_states:
            if question.step >= steps[question.segment_id]:
                kind = "relabel" if isinstance(question, RelabelQuestion) else "goal"
                raise InvalidRequest(
                    f"question {question.question_id}: {kind}.step is {question.step}, but segment "
                    f"{question.segment_id} has the steps 0 to {steps[question.segment_id] - 1}"
                )

    async def WithdrawQuestions(
        self, request: training_pb2.WithdrawQuestionsRequest, call: Call
    ) -> training_pb2.WithdrawQuestionsResponse:
        """Close questions that are not worth an answer any more."""
        run, ids = _epoch(request.run, call), _ids(request.question_ids, "question_ids")
        await wrap_future(self._storage.write(asking.withdraw, run, ids))
        return training_pb2.WithdrawQuestionsResponse()

    async def TailJournal(
        self, request: training_pb2.TailJournalRequest, call: Call
    ) -> AsyncIterator[training_pb2.TailJournalResponse]:
        """Send the journal from an offset on, and then each event as it becomes durable."""
        run_id = _run_id(request.run_id, call)
        offset = check_count(request.from_offset, "from_offset")
        await wrap_future(self._storage.read(runs.require_run, run_id))
        bell = self._bells.journal(run_id)
        while not self._bells.closing:
            rings = bell.count
            entries = await wrap_future(
                self._storage.read(journal.read_entries, run_id, offset, _MAX_ENTRIES)
            )
            if entries:
                offset = entries[-1].offset + 1
                yield training_pb2.TailJournalResponse(entries=[_entry(entry) for entry in entries])
            else:
                await bell.wait(rings, SLOW_POLL_SECONDS)
        raise Unavailable("the service is shutting down; tail again from the next offset")


def _run_id(run_id: str, call: Call) -> str:
    checked = check_id(run_id, "run_id")
    call.check_run(checked)
    return checked


def _epoch(message: training_pb2.RunEpoch, call: Call) -> RunEpoch:
    run_id = check_id(message.run_id, "run.run_id")
    call.check_run(run_id)
    return RunEpoch(run_id, message.epoch)


def _ids(ids: Sequence[str], what: str) -> list[str]:
    _check_number(ids, what)
    return [check_id(value, what) for value in ids]


def _check_number(items: Sequence[object], what: str) -> None:
    if len(items) > _MAX_ITEMS:
        raise InvalidRequest(f"{what}: {len(items)} in one call; send at most {_MAX_ITEMS}")


def _check_record(record: training_pb2.SegmentRecord, place: int, run: RunEpoch) -> str:
    """Check a segment on its way in, and return its task."""
    what = f"segments[{place}]"
    segment = decode_segment(record.segment, f"{what}.segment")
    if segment.address.run_id != run.run_id:
        raise InvalidRequest(f"{what}.segment.address.run_id: {segment.address.run_id} is not {run.run_id}")
    if record.HasField("true_rewards"):
        decode_true_rewards(record.true_rewards, len(segment), f"{what}.true_rewards")
    if record.HasField("clip"):
        decode_clip(record.clip, f"{what}.clip")
    return segment.address.task_id


def _question(message: types_pb2.Question, place: int, run: RunEpoch) -> NewQuestion:
    question = decode_question(message, f"questions[{place}]")
    if question.run_id != run.run_id:
        raise InvalidRequest(f"questions[{place}].run_id: {question.run_id} is not {run.run_id}")
    if not message.HasField("create_time"):
        message.create_time.GetCurrentTime()
    return NewQuestion(question, message.SerializeToString(deterministic=True))


def _entry(entry: Entry) -> types_pb2.JournalEntry:
    return types_pb2.JournalEntry(
        offset=entry.offset,
        teacher_id=entry.teacher_id,
        record_time=encode_time(from_us(entry.record_us)),
        event=types_pb2.FeedbackEvent.FromString(entry.body),
        segment_ids=entry.segment_ids,
    )
