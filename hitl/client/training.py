"""The client of the training cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import grpc

from hitl.client.channel import Channel
from hitl.client.playing import StagePlayer
from hitl.events import JournalEntry, Progress, Question, Run, Segment, Task
from hitl.fields import encode_duration
from hitl.policies import SharedPolicy, SharedReward
from hitl.stages import ActionSpace, Clip
from hitl.tensors import Array, encode_tensor
from hitl.v1 import training_pb2
from hitl.v1.training_pb2_grpc import TrainingServiceStub
from hitl.wire.events import decode_entry
from hitl.wire.policies import decode_policy, decode_reward_model, encode_policy, encode_reward_model
from hitl.wire.questions import encode_question
from hitl.wire.runs import decode_run, encode_progress, encode_task
from hitl.wire.segments import decode_segment, encode_segment
from hitl.wire.stages import encode_clip

if TYPE_CHECKING:
    import gymnasium as gym

    from hitl.client.driving import DrivenStage

_MAX_CALL_BYTES = 8 * 1024 * 1024
_MAX_ITEMS = 256


class TrainingClient:
    """Drives runs. Use it as a context manager; safe to share between threads.

    The methods that write take the run as `open_run` returned it: its epoch says which driver speaks.
    Calls that cannot reach the service are tried again for `patience_seconds`; each may be repeated. Every
    method raises a `RequestError` that says why the service refused; `StaleEpoch` means that a newer driver
    has opened the run.
    """

    def __init__(self, address: str, token: str, *, patience_seconds: float = 60.0) -> None:
        self._channel = Channel(address, token, patience_seconds=patience_seconds)
        self._stub = TrainingServiceStub(self._channel.grpc)

    def register_task(self, task: Task) -> None:
        """Make a task known."""
        request = training_pb2.RegisterTaskRequest(task=encode_task(task))
        self._channel.call(self._stub.RegisterTask, request)

    def open_run(self, run_id: str, task_id: str, *, reads_from: Iterable[str] = ()) -> Run:
        """Start a driver's life; the run that returns has its epoch and the highest versions ever seen.

        Args:
            run_id: of the run; a new one if there is none of this id.
            task_id: what it is trained on, registered before.
            reads_from: runs of the same task whose journals and segments it reads as well.
        """
        request = training_pb2.OpenRunRequest(run_id=run_id, task_id=task_id, reads_from=reads_from)
        return decode_run(self._channel.call(self._stub.OpenRun, request).run)

    def get_run(self, run_id: str) -> Run:
        """Return a run as it stands."""
        request = training_pb2.GetRunRequest(run_id=run_id)
        return decode_run(self._channel.call(self._stub.GetRun, request).run)

    def list_runs(self, task_id: str) -> list[Run]:
        """Return the runs of a task that the token is good for, oldest first."""
        request = training_pb2.ListTaskRunsRequest(task_id=task_id)
        return [decode_run(run) for run in self._channel.call(self._stub.ListTaskRuns, request).runs]

    def report_progress(self, run: Run, progress: Progress) -> None:
        """Tell how far the run is."""
        request = training_pb2.ReportProgressRequest(run=_epoch(run), progress=encode_progress(progress))
        self._channel.call(self._stub.ReportProgress, request)

    def publish_segments(
        self,
        run: Run,
        segments: Iterable[tuple[Segment, Array | None]],
        *,
        clips: Mapping[str, Clip] | None = None,
    ) -> None:
        """Store segments durably.

        Args:
            run: as `open_run` returned it.
            segments: each with its true rewards, shape [steps], where there are any.
            clips: what teachers may look at, by the id of the segment.
        """
        shown = clips or {}
        records_of_all = [
            _record(segment, rewards, shown.get(segment.segment_id)) for segment, rewards in segments
        ]
        for records in _parts(records_of_all):
            request = training_pb2.PublishSegmentsRequest(run=_epoch(run), segments=records)
            self._channel.call(self._stub.PublishSegments, request)

    def get_segments(self, run_id: str, segment_ids: Sequence[str]) -> list[Segment]:
        """Read segments back, in the order asked for."""
        segments: list[Segment] = []
        for start in range(0, len(segment_ids), _MAX_ITEMS):
            ids = segment_ids[start : start + _MAX_ITEMS]
            request = training_pb2.GetSegmentsRequest(run_id=run_id, segment_ids=ids)
            response = self._channel.call(self._stub.GetSegments, request)
            segments.extend(decode_segment(message) for message in response.segments)
        return segments

    def ask(self, run: Run, questions: Iterable[Question]) -> None:
        """Ask teachers; the segments must be published."""
        request = training_pb2.AskQuestionsRequest(
            run=_epoch(run), questions=[encode_question(question) for question in questions]
        )
        self._channel.call(self._stub.AskQuestions, request)

    def withdraw(self, run: Run, question_ids: Iterable[str]) -> None:
        """Close those of the questions that are still open."""
        request = training_pb2.WithdrawQuestionsRequest(run=_epoch(run), question_ids=question_ids)
        self._channel.call(self._stub.WithdrawQuestions, request)

    def tail(self, run_id: str, from_offset: int = 0) -> Iterator[list[JournalEntry]]:
        """Yield the journal from an offset on, in parts, and then what is new as it becomes durable.

        Goes on from the last offset when the connection breaks, and ends when the client is closed.

        Raises:
            Unavailable: the service could not be reached for `patience_seconds`.
            RequestError: it refused, for example `NotFound`.
        """
        offset, patience = from_offset, self._channel.patience()
        while True:
            request = training_pb2.TailJournalRequest(run_id=run_id, from_offset=offset)
            try:
                stream = self._stub.TailJournal(request, metadata=self._channel.metadata)
                stream.initial_metadata()
                if stream.is_active():
                    patience = self._channel.patience()
                for response in stream:
                    offset = response.entries[-1].offset + 1
                    yield [decode_entry(entry) for entry in response.entries]
            except grpc.RpcError as error:
                if self._channel.closed:
                    return
                patience.pause_or_raise(self._channel.error(error))
            except ValueError:
                # What gRPC raises for a call on a closed channel.
                if self._channel.closed:
                    return
                raise

    def publish_policy(self, run: Run, policy: SharedPolicy) -> None:
        """Give the newest policy to programs that act by it outside of the cluster; see `drive_stage`."""
        request = training_pb2.PublishPolicyRequest(run=_epoch(run), policy=encode_policy(policy))
        self._channel.call(self._stub.PublishPolicy, request)

    def get_policy(
        self, run_id: str, *, newer_than: int = 0, wait: timedelta | None = None
    ) -> SharedPolicy | None:
        """Return the newest policy that `publish_policy` gave; None where none is newer.

        Args:
            run_id: of the run.
            newer_than: the version that is known already.
            wait: how long to wait for a newer one; None: not at all.
        """
        request = training_pb2.GetPolicyRequest(run_id=run_id, newer_than=newer_than)
        if wait is not None:
            request.wait.CopyFrom(encode_duration(wait))
        response = self._channel.call(self._stub.GetPolicy, request)
        return decode_policy(response.policy) if response.HasField("policy") else None

    def publish_reward_model(self, run: Run, model: SharedReward) -> None:
        """Give the newest reward model to programs outside of the cluster; see `drive_stage`."""
        request = training_pb2.PublishRewardModelRequest(
            run=_epoch(run), reward_model=encode_reward_model(model)
        )
        self._channel.call(self._stub.PublishRewardModel, request)

    def get_reward_model(
        self, run_id: str, *, newer_than: int = 0, wait: timedelta | None = None
    ) -> SharedReward | None:
        """Return the newest reward model that `publish_reward_model` gave; see `get_policy`."""
        request = training_pb2.GetRewardModelRequest(run_id=run_id, newer_than=newer_than)
        if wait is not None:
            request.wait.CopyFrom(encode_duration(wait))
        response = self._channel.call(self._stub.GetRewardModel, request)
        return decode_reward_model(response.reward_model) if response.HasField("reward_model") else None

    def drive_stage(
        self,
        run: Run,
        stage_id: str,
        observation_space: "gym.Space[Any]",
        action_space: "gym.Space[Any]",
        *,
        safe_action: int | Sequence[float] | None = None,
        seed: int = 0,
    ) -> "DrivenStage":
        """Open a stage for a program outside of the cluster, such as a robot or a game, that acts as the run does.

        The newest policy acts, the newest reward model (TAMER), or both, as the run's `acting.kind` says.

        Args:
            run: as `get_run` or `open_run` returned it; its stages must be open to programs (stages.driven).
            stage_id: a name of its own within the run; not one of the cluster's own stages, such as stage-0.
            observation_space: of the program's environment; the task's.
            action_space: of the same.
            safe_action: what a safe stop does; None: the first option, or what is nearest to 0.
            seed: of the draws.

        Raises:
            RequestError: the service refused; `StaleEpoch` where a newer driver has opened the run.
            TypeError: there is no policy for these spaces.
            ValueError: the safe action is not in the space.
        """
        # Only here: who drives no stage needs neither gymnasium nor a policy.
        from hitl.client.driving import DrivenStage

        return DrivenStage(
            self, run, stage_id, observation_space, action_space, safe_action=safe_action, seed=seed
        )

    def play_stage(
        self, run: Run, stage_id: str, action_space: ActionSpace, *, is_own: bool = False
    ) -> StagePlayer:
        """Open a stage for teachers to watch; there can be many, each with a name of its own within the run.

        Args:
            run: as `get_run` or `open_run` returned it.
            stage_id: unique within the run.
            action_space: of its actions.
            is_own: it is one of those that the cluster plays, whose names (`own_stage_id`) nobody else may have.

        Raises:
            RequestError: the service refused; `InvalidRequest` where the name is one of the cluster's own stages,
                `StaleEpoch` where a newer driver has opened the run.
        """
        return StagePlayer(
            self._channel,
            self._stub,
            run=run,
            stage_id=stage_id,
            action_space=action_space,
            is_own=is_own,
        )

    def close(self) -> None:
        """End the connection and every tail on it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _epoch(run: Run) -> training_pb2.RunEpoch:
    return training_pb2.RunEpoch(run_id=run.run_id, epoch=run.epoch)


def _record(segment: Segment, true_rewards: Array | None, clip: Clip | None) -> training_pb2.SegmentRecord:
    record = training_pb2.SegmentRecord(segment=encode_segment(segment))
    if true_rewards is not None:
        record.true_rewards.CopyFrom(encode_tensor(true_rewards))
    if clip is not None:
        record.clip.CopyFrom(encode_clip(clip))
    return record


def _parts(records: Sequence[training_pb2.SegmentRecord]) -> Iterator[list[training_pb2.SegmentRecord]]:
    """Cut into parts that each fit into one call."""
    part: list[training_pb2.SegmentRecord] = []
    part_bytes = 0
    for record in records:
        record_bytes = record.ByteSize()
        if part and (part_bytes + record_bytes > _MAX_CALL_BYTES or len(part) == _MAX_ITEMS):
            yield part
            part, part_bytes = [], 0
        part.append(record)
        part_bytes += record_bytes
    if part:
        yield part
