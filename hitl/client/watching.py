"""A teacher's view of a stage: always the newest frame, and what they say about it."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

import grpc
import numpy as np

from hitl.client.channel import Channel
from hitl.errors import RequestError
from hitl.events import Correction, Event, Receipt, Signal, StepAddress
from hitl.stages import StageFrame, StageState
from hitl.v1 import teaching_pb2
from hitl.v1.teaching_pb2_grpc import TeachingServiceStub
from hitl.wire.segments import decode_address
from hitl.wire.stages import decode_frame, decode_state

_JOIN_SECONDS = 5.0
_CALLS_KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFrame:
    """A frame in front of a teacher, from the moment that it came."""

    run_id: str
    stage_id: str
    shown: StageFrame
    """What the stage shows; its step is the one that led there."""
    address: StepAddress | None
    """Of that step; None in the frame that begins an episode."""
    holder: str
    """Who has the controls; empty: nobody."""
    _watch: "StageWatch" = field(repr=False)
    _since: float = field(default_factory=time.monotonic, repr=False)

    @property
    def offset(self) -> timedelta:
        """The time for which the frame has been in front of the teacher."""
        return timedelta(seconds=time.monotonic() - self._since)

    def signal(self, value: float, *, offset: timedelta | None = None) -> Receipt:
        """Say how good it is what one sees, from -1 to 1.

        Args:
            value: of the signal.
            offset: of the key press, from when the frame came; measured unless it is given.

        Raises:
            RequestError: it was refused, or the service could not be reached in time.
        """
        return self._watch.submit(
            Signal(
                run_id=self.run_id,
                stage_id=self.stage_id,
                frame=self.shown.frame,
                value=value,
                offset=self.offset if offset is None else offset,
            )
        )

    def correct(self, action: Any, *, offset: timedelta | None = None) -> Receipt:
        """Say what to do in the state that one sees.

        Args:
            action: of the task's action space.
            offset: of the key press, from when the frame came; measured unless it is given.

        Raises:
            RequestError: as `signal`.
        """
        return self._watch.submit(
            Correction(
                run_id=self.run_id,
                stage_id=self.stage_id,
                frame=self.shown.frame,
                actions=np.asarray(action)[None],
                offset=self.offset if offset is None else offset,
            )
        )


class StageWatch:
    """Frames of one stage as they come; iterate over it. Use it as a context manager.

    A thread receives and keeps the newest frame alone, so whoever takes long gets fewer, never old ones. A stage or a
    service that dies is waited for, as long as the channel's patience lasts.
    """

    def __init__(
        self,
        channel: Channel,
        stub: TeachingServiceStub,
        submit: Any,
        *,
        run_id: str,
        stage_id: str,
        images: bool,
        steps: bool,
        max_unacknowledged: int,
    ) -> None:
        """Begin to watch; see `TeacherClient.watch`."""
        self._channel, self._stub, self._submit = channel, stub, submit
        self._request = teaching_pb2.WatchStageRequest(
            run_id=run_id,
            stage_id=stage_id,
            max_unacknowledged=max_unacknowledged,
            images=images,
            steps=steps,
        )
        self._news = threading.Condition()
        self._newest: tuple[float, teaching_pb2.WatchStageResponse] | None = None
        self._error: RequestError | None = None
        self._stream: Any = None
        self._acknowledging: deque[Any] = deque(maxlen=_CALLS_KEPT)
        self._unacknowledged = 0
        self._closed = False
        self._last = -1
        """The newest frame's number."""
        self.state = StageState()
        """Of the stage, by its last word; it may change while no new frame comes."""
        self.holder = ""
        """Who has the controls, likewise; empty: nobody."""
        self.heard = -math.inf
        """When that word came, in seconds of the monotonic clock."""
        self.skipped = 0
        """Frames that came and were never taken, since newer ones came before."""
        self._thread = threading.Thread(target=self._receive, name=f"watch {stage_id}", daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        patience = self._channel.patience()
        while not self._closed:
            try:
                self._unacknowledged = 0
                self._stream = self._stub.WatchStage(self._request, metadata=self._channel.metadata)
                for response in self._stream:
                    patience = self._channel.patience()
                    self._keep(response)
            except grpc.RpcError as error:
                try:
                    if not self._closed:
                        patience.pause_or_raise(self._channel.error(error))
                except RequestError as final:
                    return self._end(final)
            except ValueError as error:
                # What gRPC raises for a call on a closed channel.
                return self._end(RequestError(str(error)))
        return None

    def _keep(self, response: teaching_pb2.WatchStageResponse) -> None:
        self._unacknowledged += 1
        # Before anybody has looked at it, so that a newer one can take its place; and before the window is full.
        if 2 * self._unacknowledged >= self._request.max_unacknowledged:
            self._acknowledge(response)
        with self._news:
            self.state, self.holder = decode_state(response.state), response.holder
            self.heard = time.monotonic()
            # Sent again, with another state or another holder alone.
            if response.frame.frame == self._last:
                return
            self._last = response.frame.frame
            self.skipped += self._newest is not None
            self._newest = time.monotonic(), response
            self._news.notify_all()

    def _end(self, error: RequestError) -> None:
        with self._news:
            self._error = error
            self._news.notify_all()

    def next(self, timeout_seconds: float | None = None) -> WatchedFrame | None:
        """Return the newest frame, waiting for one that was not taken yet; None if none comes in time.

        Raises:
            RequestError: the service refused, or could not be reached in time.
        """
        with self._news:
            came = self._news.wait_for(
                lambda: self._newest is not None or self._error is not None or self._closed, timeout_seconds
            )
            if self._newest is None:
                if came and self._error is not None and not self._closed:
                    raise self._error
                return None
            since, response = self._newest
            self._newest = None
        return WatchedFrame(
            run_id=self._request.run_id,
            stage_id=self._request.stage_id,
            shown=decode_frame(response.frame),
            address=decode_address(response.address, "address") if response.HasField("address") else None,
            holder=response.holder,
            _watch=self,
            _since=since,
        )

    def _acknowledge(self, response: teaching_pb2.WatchStageResponse) -> None:
        request = teaching_pb2.AcknowledgeFrameRequest(watch_id=response.watch_id, frame=response.frame.frame)
        # Nobody waits for it, but gRPC cancels a call that nobody keeps.
        call = self._stub.AcknowledgeFrame.future(request, metadata=self._channel.metadata)
        self._acknowledging.append(call)
        self._unacknowledged = 0

    def submit(self, event: Event) -> Receipt:
        """Record an event."""
        receipt: Receipt = self._submit(event)
        return receipt

    def __iter__(self) -> Iterator[WatchedFrame]:
        while (frame := self.next()) is not None:
            yield frame

    def close(self) -> None:
        """Watch no more."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._stream is not None:
            self._stream.cancel()
        self._thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
