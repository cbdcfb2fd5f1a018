"""Stages on the side of whoever plays them: the handler of PlayStage, and how steps become durable."""

import asyncio
import concurrent.futures
import logging
from asyncio import wrap_future
from collections.abc import AsyncIterator
from typing import Final

import numpy as np
from sqlalchemy import Connection

from hitl.errors import HandrailError, InvalidRequest, StorageError
from hitl.events import Correction, Segment
from hitl.fields import check_count, check_id
from hitl.service.call import Call
from hitl.service.live_stage import Audience, Ended, LiveStage, News, Stored
from hitl.service.stages import Stages
from hitl.service.steps import Taken
from hitl.stages import ActionSpace, Command, is_own_stage_id
from hitl.storage import asking, journal, runs, segments, showings
from hitl.storage.journal import NewEvent
from hitl.storage.runs import RunEpoch
from hitl.storage.segments import StoredSegment
from hitl.storage.storage import Storage
from hitl.tensors import Array, encode_tensor
from hitl.v1 import training_pb2
from hitl.wire.events import encode_event
from hitl.wire.segments import encode_segment
from hitl.wire.stages import decode_action_space, decode_frame, decode_state, encode_command

_log = logging.getLogger(__name__)

_LAST_STORE_SECONDS: Final = 5.0
_INLINE_BYTES: Final = 100_000
"""More is compressed in another thread."""


class PlayingHandlers:
    """Serves stages; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage, stages: Stages) -> None:
        self._storage, self._stages = storage, stages
        self._opening = asyncio.Lock()

    async def PlayStage(
        self, requests: AsyncIterator[training_pb2.PlayStageRequest], call: Call
    ) -> AsyncIterator[training_pb2.PlayStageResponse]:
        """Take what a stage shows, and tell it what teachers want."""
        stage = await self._open(await anext(requests, None), call)
        opened = training_pb2.StageOpened(first_frame=stage.first_frame)
        yield training_pb2.PlayStageResponse(opened=opened)
        reading = asyncio.create_task(self._read(requests, stage))
        try:
            while not isinstance(news := await stage.news.get(), Ended):
                yield _response(news)
            if news.error is not None:
                raise news.error
        finally:
            reading.cancel()
            self._stages.close(stage)
            try:
                async with asyncio.timeout(_LAST_STORE_SECONDS):
                    await store_steps(self._storage, stage)
            except (HandrailError, TimeoutError) as error:
                # The stage has them still, and sends them again when it comes back.
                _log.warning("the last steps of stage %s are not stored: %s", stage.stage_id, error)

    async def _open(self, request: training_pb2.PlayStageRequest | None, call: Call) -> LiveStage:
        if request is None or request.WhichOneof("message") != "opening":
            raise InvalidRequest("the first request must be an opening")
        opening = request.opening
        run = RunEpoch(check_id(opening.run.run_id, "opening.run.run_id"), opening.run.epoch)
        call.check_run(run.run_id)
        stage_id = check_id(opening.stage_id, "opening.stage_id")
        if is_own_stage_id(stage_id) and not opening.is_own:
            raise InvalidRequest(
                f"opening.stage_id: {stage_id} is a name of the cluster's own stages; choose another, such as robot"
            )
        row = await wrap_future(self._storage.write(runs.lock_epoch, run))
        if opening.task_id != row["task_id"]:
            raise InvalidRequest(
                f"opening.task_id: {opening.task_id} is not the run's task, {row['task_id']}"
            )
        space = decode_action_space(opening.action_space, "opening.action_space")
        async with self._opening:
            if (known := self._stages.end(run.run_id, stage_id)) is not None:
                # What it has shown must be durable before anybody asks how far it is.
                await store_steps(self._storage, known)
            return await self._open_at_end(opening, run, space)

    async def _open_at_end(
        self, opening: training_pb2.StageOpening, run: RunEpoch, space: ActionSpace
    ) -> LiveStage:
        stage_id = opening.stage_id
        end = await wrap_future(self._storage.read(showings.end_frame, run.run_id, stage_id))
        known = (
            check_count(opening.newest_frame, "opening.newest_frame")
            if opening.HasField("newest_frame")
            else -1
        )
        return self._stages.open(run, opening.task_id, stage_id, space, end_frame=end, known_frame=known)

    async def _read(self, requests: AsyncIterator[training_pb2.PlayStageRequest], stage: LiveStage) -> None:
        """Read frames and states to their end, and then end the connection."""
        storing: asyncio.Task[None] | None = None
        error: HandrailError | None = None
        try:
            async for request in requests:
                kind = request.WhichOneof("message")
                if kind == "state":
                    stage.become(decode_state(request.state))
                    continue
                if kind != "frame":
                    raise InvalidRequest("after the opening every request must be a frame or a state")
                stage.show(decode_frame(request.frame))
                if storing is not None and storing.done():
                    storing.result()
                    storing = None
                if storing is None and stage.is_due:
                    storing = asyncio.create_task(self._store_what_is_due(stage))
        except HandrailError as raised:
            error = raised
        except Exception:
            _log.exception("stage %s cannot be read any more", stage.stage_id)
            error = StorageError("the service failed; its log says why")
        stage.news.put_nowait(Ended(error))

    async def _store_what_is_due(self, stage: LiveStage) -> None:
        # More may have become due meanwhile, and no further frame may come to say so.
        while stage.is_due:
            await store_steps(self._storage, stage)


async def store_steps(storage: Storage, stage: LiveStage) -> None:
    """Make all steps that a stage has shown durable.

    Raises:
        HandrailError: they cannot be stored; they are kept for the next time.
    """
    async with stage.storing:
        _, stored = await queue_steps(storage, stage)
        await stored


async def queue_steps(
    storage: Storage, stage: LiveStage, state: Segment | None = None
) -> tuple[tuple[str, ...], asyncio.Future[None]]:
    """Queue all steps that a stage has shown, and the state of a correction, for the next commit.

    What is queued behind them is committed with them or after them. The caller holds `stage.storing`.

    Returns:
        The segments, and a future that is done once they are durable; if it fails the steps are kept for the next time.
    """
    taken = stage.steps.take()
    pairs = [*taken.segments, *([(state, None)] if state else ())]
    ids = (*stage.steps.in_flight, *([state.segment_id] if state else ()))
    if not pairs:
        stage.steps.settle(taken, durable=True)
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return ids, nothing
    try:
        if (
            sum(array.nbytes for segment, _ in pairs for array in segment.observations.values())
            > _INLINE_BYTES
        ):
            stored = await wrap_future(storage.run(_prepare, storage, pairs))
        else:
            stored = _prepare(storage, pairs)
        publishing = storage.write(
            _publish,
            stage.run,
            stored,
            [_takeover(stage, segment) for segment in taken.takeovers],
            task_ids={stage.task_id},
            policy_version=max(segment.policy_version for segment, _ in pairs),
        )
    except BaseException:
        stage.steps.settle(taken, durable=False)
        raise
    return ids, asyncio.ensure_future(_stored(publishing, stage, taken, stage.steps.end_frame))


def _publish(
    connection: Connection,
    run: RunEpoch,
    stored: list[StoredSegment],
    takeovers: list[NewEvent],
    *,
    task_ids: set[str],
    policy_version: int,
) -> None:
    """Store steps, and what they say where a teacher took them, in one transaction."""
    asking.publish(connection, run, stored, task_ids=task_ids, policy_version=policy_version)
    if takeovers:
        journal.append_events(connection, [takeovers])


def _takeover(stage: LiveStage, segment: Segment) -> NewEvent:
    """Return what a teacher who acted says by it: do this, in each of these states."""
    assert segment.showing is not None
    correction = Correction(
        run_id=stage.run.run_id,
        stage_id=stage.stage_id,
        frame=segment.showing.first_frame - 1,
        actions=np.asarray(segment.actions),
        event_id=f"takeover/{segment.segment_id}",
    )
    body = encode_event(correction).SerializeToString(deterministic=True)
    return NewEvent(segment.showing.teacher_id, correction, body, needs=(segment.segment_id,))


async def _stored(
    publishing: "concurrent.futures.Future[None]", stage: LiveStage, taken: Taken, end_frame: int
) -> None:
    try:
        await asyncio.shield(wrap_future(publishing))
    except BaseException:
        stage.steps.settle(taken, durable=False)
        raise
    stage.steps.settle(taken, durable=True)
    # Not beyond steps that failed: the stage would forget them.
    if taken.segments and not stage.steps.has_unstored_before(end_frame):
        stage.news.put_nowait(Stored(end_frame))


def _prepare(storage: Storage, pairs: list[tuple[Segment, Array | None]]) -> list[StoredSegment]:
    return [
        segments.prepare_segment(
            storage.blobs,
            segment.segment_id,
            encode_segment(segment).SerializeToString(deterministic=True),
            None if rewards is None else encode_tensor(rewards).SerializeToString(),
            segment.showing,
        )
        for segment, rewards in pairs
    ]


def _response(news: News) -> training_pb2.PlayStageResponse:
    if isinstance(news, Command):
        return training_pb2.PlayStageResponse(command=encode_command(news))
    if isinstance(news, Stored):
        return training_pb2.PlayStageResponse(stored=training_pb2.StageStored(end_frame=news.end_frame))
    assert isinstance(news, Audience)
    return training_pb2.PlayStageResponse(audience=training_pb2.StageAudience(watchers=news.watchers))
