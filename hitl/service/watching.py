"""Stages on the side of teachers: the handlers for looking at them and for their controls."""

import asyncio
from asyncio import wrap_future
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from hitl.errors import NotFound, Unavailable
from hitl.fields import check_count, check_id, encode_time
from hitl.service.bells import SLOW_POLL_SECONDS, Bells
from hitl.service.call import Call
from hitl.service.live_stage import LiveStage, Watch
from hitl.service.stages import Stages
from hitl.stages import StageFrame, StageState
from hitl.storage import runs
from hitl.storage.storage import Storage
from hitl.v1 import stages_pb2, teaching_pb2
from hitl.wire.segments import encode_address
from hitl.wire.stages import decode_control, encode_frame, encode_stage, encode_state

_DEFAULT_WINDOW: Final = 3
_MAX_WINDOW: Final = 64
_MISSING_SECONDS: Final = 10.0
"""For which one waits for a stage that may be about to come back."""


class WatchingHandlers:
    """Serves those who watch stages; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage, bells: Bells, stages: Stages) -> None:
        self._storage, self._bells, self._stages = storage, bells, stages

    async def ListStages(
        self, request: teaching_pb2.ListStagesRequest, call: Call
    ) -> teaching_pb2.ListStagesResponse:
        """List the stages of a run that are being played."""
        run_id = await self._run(request.run_id, call)
        playing = [encode_stage(stage.describe()) for stage in self._stages.of_run(run_id)]
        return teaching_pb2.ListStagesResponse(stages=playing)

    async def WatchStage(
        self, request: teaching_pb2.WatchStageRequest, call: Call
    ) -> AsyncIterator[teaching_pb2.WatchStageResponse]:
        """Send each newest frame that the watcher has room for, and again when the stage's state has changed."""
        run_id = await self._run(request.run_id, call)
        stage_id = check_id(request.stage_id, "stage_id")
        window = min(
            check_count(request.max_unacknowledged, "max_unacknowledged") or _DEFAULT_WINDOW, _MAX_WINDOW
        )
        stage = await self._wait_for(run_id, stage_id)
        watch, told = stage.watch(call.principal.name, window), (-1, StageState(), "")
        try:
            while not self._bells.closing:
                # Anew each time: it may have died and come back.
                stage = self._stages.find(run_id, stage_id) or stage
                rings, newest = stage.bell.count, stage.current
                news = (newest.frame if newest else -1, stage.state, stage.lease.holder)
                if newest is None or newest.frame < told[0] or news == told or not watch.ready:
                    await stage.bell.wait(rings, SLOW_POLL_SECONDS)
                    continue
                told = news
                watch.on_their_way.append(newest.frame)
                yield _seen(stage, newest, watch, request, call)
            raise Unavailable("the service is shutting down; watch again")
        finally:
            (self._stages.find(run_id, stage_id) or stage).leave(watch)

    async def _wait_for(self, run_id: str, stage_id: str) -> LiveStage:
        loop = asyncio.get_running_loop()
        end = loop.time() + _MISSING_SECONDS
        while (stage := self._stages.find(run_id, stage_id)) is None:
            rings = self._stages.bell.count
            if self._bells.closing:
                raise Unavailable("the service is shutting down; watch again")
            if loop.time() >= end:
                raise NotFound(f"run {run_id} plays no stage {stage_id}; ListStages tells which there are")
            await self._stages.bell.wait(rings, end - loop.time())
        return stage

    async def AcknowledgeFrame(
        self, request: teaching_pb2.AcknowledgeFrameRequest, call: Call
    ) -> teaching_pb2.AcknowledgeFrameResponse:
        """Take note of what a watcher has shown."""
        frame = check_count(request.frame, "frame")
        self._stages.acknowledge(call.principal.name, check_id(request.watch_id, "watch_id"), frame)
        return teaching_pb2.AcknowledgeFrameResponse()

    async def ControlStage(
        self, request: teaching_pb2.ControlStageRequest, call: Call
    ) -> teaching_pb2.ControlStageResponse:
        """Use the controls of a stage."""
        run_id, stage_id = await self._run(request.run_id, call), check_id(request.stage_id, "stage_id")
        stage = self._stages.find(run_id, stage_id)
        if stage is None:
            raise NotFound(f"run {run_id} plays no stage {stage_id}; ListStages tells which there are")
        lease = stage.control(call.principal.name, decode_control(request.control))
        end = None if lease is None else encode_time(datetime.now(UTC) + lease)
        return teaching_pb2.ControlStageResponse(lease_expire_time=end)

    async def _run(self, run_id: str, call: Call) -> str:
        check_id(run_id, "run_id")
        call.check_run(run_id)
        await wrap_future(self._storage.read(runs.require_run, run_id))
        return run_id


def _seen(
    stage: LiveStage, frame: StageFrame, watch: Watch, request: teaching_pb2.WatchStageRequest, call: Call
) -> teaching_pb2.WatchStageResponse:
    """Return a frame as this watcher sees it."""
    kind = (request.images, request.steps, call.principal.role == "oracle")
    # Many see the same, and encoding costs more than sending.
    message = stage.encoded.get(kind) or stage.encoded.setdefault(kind, _encode(frame, *kind))
    address = encode_address(stage.address(frame)) if frame.step else None
    return teaching_pb2.WatchStageResponse(
        watch_id=watch.watch_id,
        frame=message,
        address=address,
        holder=stage.lease.holder,
        state=encode_state(stage.state),
    )


def _encode(frame: StageFrame, images: bool, steps: bool, rewards: bool) -> stages_pb2.StageFrame:
    message = encode_frame(frame)
    if not images:
        message.ClearField("image")
    if not steps:
        message.ClearField("observations")
    if frame.step and not rewards:
        message.step.ClearField("true_reward")
    return message
