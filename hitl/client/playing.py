"""A stage's connection to the service: what it shows goes out, what teachers want comes in."""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Self

import grpc

from hitl.client.channel import Channel
from hitl.errors import RequestError, StorageError, Unavailable
from hitl.events import Run
from hitl.stages import ActionSpace, Command, Release, StageFrame, StageState
from hitl.v1 import stages_pb2, training_pb2
from hitl.v1.training_pb2_grpc import TrainingServiceStub
from hitl.wire.stages import decode_command, encode_action_space, encode_frame, encode_state

_REMEMBERED_FRAMES = 512
"""Sent again to a service that comes back, so that they can be corrected."""
_MAX_UNSTORED_FRAMES = 50_000
_MAX_IMAGES_WAITING = 2
_JOIN_SECONDS = 5.0


class StagePlayer:
    """Plays one stage over one connection, which it makes anew as often as needed. Use it as a context manager.

    Frames are kept until their steps are durable, and sent again to a service that comes back. Pictures are not: of
    those that wait to be sent only the newest go out.
    """

    def __init__(
        self,
        channel: Channel,
        stub: TrainingServiceStub,
        *,
        run: Run,
        stage_id: str,
        action_space: ActionSpace,
        is_own: bool = False,
    ) -> None:
        """Open the stage; see `TrainingClient.play_stage`."""
        self._channel, self._stub = channel, stub
        self._opening = training_pb2.StageOpening(
            run=training_pb2.RunEpoch(run_id=run.run_id, epoch=run.epoch),
            task_id=run.task_id,
            stage_id=stage_id,
            action_space=encode_action_space(action_space),
            is_own=is_own,
        )
        self._lock = threading.Lock()
        self._frames: deque[stages_pb2.StageFrame] = deque()
        """Without pictures, oldest first: those not yet durable, and some before."""
        self._end_frame = 0
        self._state: StageState | None = None
        """The last one told."""
        self._outbox: queue.SimpleQueue[training_pb2.PlayStageRequest | None] = queue.SimpleQueue()
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._error: RequestError | None = None
        self._stream: Any = None
        self._closed = False
        self.watchers = 0
        """How many watch; without any, nothing need be rendered or paced."""
        self.first_frame = 0
        """What to begin with."""
        self._thread = threading.Thread(target=self._converse, name=f"stage {stage_id}", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._error is not None:
            raise self._error

    def show(self, frame: StageFrame) -> None:
        """Show a frame; returns at once.

        Raises:
            RequestError: the connection ended for good.
            StorageError: the service has been away for so long that no more steps can be kept for it.
        """
        if self._error is not None:
            raise self._error
        message = encode_frame(frame)
        if self._outbox.qsize() > _MAX_IMAGES_WAITING:
            message.ClearField("image")
        kept = message
        if message.image:
            kept = stages_pb2.StageFrame()
            kept.CopyFrom(message)
            kept.ClearField("image")
        with self._lock:
            if len(self._frames) >= _MAX_UNSTORED_FRAMES:
                raise StorageError(f"the service has not stored {_MAX_UNSTORED_FRAMES} steps of this stage")
            self._frames.append(kept)
            self._outbox.put(training_pb2.PlayStageRequest(frame=message))

    def tell(self, state: StageState) -> None:
        """Tell all who watch what teachers have made of the stage, if it has changed; returns at once."""
        if state != self._state:
            with self._lock:
                self._state = state
                self._outbox.put(training_pb2.PlayStageRequest(state=encode_state(state)))

    def commands(self) -> Iterator[Command]:
        """Yield what teachers have wanted since the last time.

        Raises:
            RequestError: the connection ended for good.
        """
        if self._error is not None:
            raise self._error
        while True:
            try:
                yield self._commands.get_nowait()
            except queue.Empty:
                return

    @property
    def unstored(self) -> int:
        """Steps and beginnings of episodes that are not known to be durable."""
        with self._lock:
            return sum(frame.frame >= self._end_frame for frame in self._frames)

    def _requests(
        self,
        outbox: "queue.SimpleQueue[training_pb2.PlayStageRequest | None]",
        again: Sequence[stages_pb2.StageFrame],
        state: StageState | None,
    ) -> Iterator[training_pb2.PlayStageRequest]:
        opening = training_pb2.StageOpening(newest_frame=again[-1].frame if again else None)
        opening.MergeFrom(self._opening)
        yield training_pb2.PlayStageRequest(opening=opening)
        for frame in again:
            yield training_pb2.PlayStageRequest(frame=frame)
        if state is not None:
            yield training_pb2.PlayStageRequest(state=encode_state(state))
        while (request := outbox.get()) is not None:
            yield request

    def _converse(self) -> None:
        patience = self._channel.patience()
        while not self._closed:
            with self._lock:
                # gRPC may still be reading from the old one.
                self._outbox.put(None)
                self._outbox = queue.SimpleQueue()
                requests = self._requests(self._outbox, list(self._frames), self._state)
            try:
                self._stream = self._stub.PlayStage(requests, metadata=self._channel.metadata)
                for response in self._stream:
                    patience = self._channel.patience()
                    self._hear(response)
                if not self._closed:
                    patience.pause_or_raise(Unavailable("the service ended the stage's connection"))
            except grpc.RpcError as error:
                if self._closed:
                    break
                try:
                    patience.pause_or_raise(self._channel.error(error))
                except RequestError as final:
                    self._error = final
                    break
            except (RequestError, ValueError) as error:
                self._error = error if isinstance(error, RequestError) else RequestError(str(error))
                break
        self._opened.set()

    def _hear(self, response: training_pb2.PlayStageResponse) -> None:
        kind = response.WhichOneof("message")
        if kind == "opened":
            self.first_frame = max(self.first_frame, response.opened.first_frame)
            if self._opened.is_set():
                # Whoever had the controls has lost them with the connection before.
                self._commands.put(Command("", Release()))
            # The service tells who watches.
            self.watchers = 0
            self._opened.set()
        elif kind == "stored":
            self._forget(response.stored.end_frame)
        elif kind == "audience":
            self.watchers = response.audience.watchers
        elif kind == "command":
            self._commands.put(decode_command(response.command))

    def _forget(self, end_frame: int) -> None:
        with self._lock:
            self._end_frame = end_frame
            while self._frames and self._frames[0].frame < end_frame - _REMEMBERED_FRAMES:
                self._frames.popleft()

    def close(self) -> None:
        """Leave the stage; what was shown before is stored."""
        self._closed = True
        with self._lock:
            self._outbox.put(None)
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive() and self._stream is not None:
            self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
