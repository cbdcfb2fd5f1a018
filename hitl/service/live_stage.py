"""A stage as the service sees it: the newest frame, who watches, and what the stage is told.

No transport and no database. Everything runs in the event loop; times are the loop's.
"""

import asyncio
import hashlib
import secrets
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np

from hitl.errors import HandrailError, InvalidRequest, NotFound, Unavailable
from hitl.events import Correction, Segment, StepAddress
from hitl.service.bells import Bell
from hitl.service.lease import Lease
from hitl.service.steps import SEGMENT_STEPS, Steps
from hitl.stages import ActionSpace, Command, Control, Stage, StageFrame, StageState
from hitl.storage.runs import RunEpoch
from hitl.v1 import stages_pb2

FRAME_MARGIN: Final = 1000
"""Above the last durable frame a new life begins by so much: some more may have been shown."""
REMEMBERED_FRAMES: Final = 512
"""So many of the newest can be corrected."""


@dataclass(slots=True)
class Watch:
    """Somebody who watches: frames go on their way while few of them are unacknowledged."""

    watch_id: str
    teacher_id: str
    window: int
    on_their_way: deque[int]
    """Frames sent and not acknowledged, oldest first."""

    @property
    def ready(self) -> bool:
        """Whether one more may be sent."""
        return len(self.on_their_way) < self.window

    def acknowledge(self, frame: int) -> None:
        """Take note that this frame has been shown, and all before."""
        while self.on_their_way and self.on_their_way[0] <= frame:
            self.on_their_way.popleft()


@dataclass(frozen=True, slots=True)
class Stored:
    """All steps shown before this frame are durable."""

    end_frame: int


@dataclass(frozen=True, slots=True)
class Audience:
    """So many watch."""

    watchers: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The stage's connection ends."""

    error: HandrailError | None


News = Command | Stored | Audience | Ended
"""What a stage is told."""


class LiveStage:
    """A stage that is being played, or may come back."""

    def __init__(
        self,
        run: RunEpoch,
        task_id: str,
        stage_id: str,
        action_space: ActionSpace,
        *,
        end_frame: int,
        known_frame: int,
    ) -> None:
        """Begin.

        Args:
            run: that it belongs to.
            task_id: the run's.
            stage_id: unique within the run.
            action_space: of its actions.
            end_frame: all steps shown before are durable.
            known_frame: the newest one that teachers have seen already, which comes soon; -1 where there is none.
        """
        self.run, self.task_id, self.stage_id, self.action_space = run, task_id, stage_id, action_space
        self.bell = Bell()
        """Rings when there is something new to send to those who watch."""
        self.news: asyncio.Queue[News] = asyncio.Queue()
        """For the stage."""
        self.newest: StageFrame | None = None
        self.state = StageState()
        """By its last word, which may be a frame."""
        self.encoded: dict[tuple[bool, bool, bool], stages_pb2.StageFrame] = {}
        """The newest frame as messages: with picture or without, with its state, with the true reward."""
        self._known_frame = known_frame
        self.watches: dict[str, Watch] = {}
        self.open = True
        self.storing = asyncio.Lock()
        """Held while steps are being stored, so that they are in their order."""
        self.first_frame = end_frame + FRAME_MARGIN if end_frame else 0
        """What a stage without a past begins with."""
        self.steps = Steps(task_id, run.run_id, stage_id, end_frame=end_frame)
        self.lease = Lease(
            stage_id, action_space, tell=self.news.put_nowait, changed=lambda: self.bell.ring()
        )
        self._frames: dict[int, StageFrame] = {}

    def show(self, frame: StageFrame) -> None:
        """Take note of a frame; one that is known already changes nothing.

        Raises:
            InvalidRequest: it leaves a gap, its clock runs backwards, its state has another shape, or its action is
                none.
        """
        newest = self.newest
        if newest is not None and frame.frame <= newest.frame:
            return
        if newest is not None and frame.frame > newest.frame + 1:
            raise InvalidRequest(
                f"frame.frame: {frame.frame} does not follow {newest.frame}; send every frame"
            )
        if newest is not None and frame.show_seconds < newest.show_seconds:
            raise InvalidRequest(
                f"frame.show_seconds: {frame.show_seconds} is before frame {newest.frame}; use a monotonic clock"
            )
        if newest is not None and _shapes(frame) != _shapes(newest):
            raise InvalidRequest(
                f"frame.observations: {_shapes(frame)} are not those of frame {newest.frame}, {_shapes(newest)}"
            )
        if frame.step is not None:
            self.action_space.check(frame.step.action[None], "frame.step.action")
            before = self._frames.get(frame.frame - 1)
            # The first frame that a service hears of may be in the middle of an episode: its step has no beginning.
            if before is not None:
                self.steps.add(before, frame)
        self._frames[frame.frame] = replace(frame, image=b"")
        if len(self._frames) > REMEMBERED_FRAMES:
            del self._frames[next(iter(self._frames))]
        self.newest = frame
        self.state = replace(self.state, paused=frame.paused, rate=frame.rate)
        self.encoded.clear()
        self.bell.ring()

    def become(self, state: StageState) -> None:
        """Take note of what teachers have made of the stage."""
        self.state = state
        self.bell.ring()

    @property
    def current(self) -> StageFrame | None:
        """What it shows now; None while what it showed before is still on its way."""
        newest = self.newest
        return newest if newest and newest.frame >= self._known_frame else None

    @property
    def is_due(self) -> bool:
        """Whether steps should be stored now."""
        waiting = self.steps.waiting
        return waiting >= SEGMENT_STEPS or (
            waiting > 0 and self.newest is not None and self.newest.step is None
        )

    def address(self, frame: StageFrame) -> StepAddress:
        """Return the address of the step whose outcome a frame shows."""
        step = frame.frame - frame.episode - 1
        return self.steps.address_of(frame.episode, step, step + 1)

    def check_shown(self, frame: int) -> None:
        """Check that a frame has been shown.

        Raises:
            InvalidRequest: it never was.
            Unavailable: it was, but the stage has just come back and has not sent it again yet.
        """
        newest = self.newest.frame if self.newest else -1
        if newest < frame <= self._known_frame:
            raise Unavailable(f"stage {self.stage_id} has just come back; try again")
        if self.newest is None or frame > newest:
            raise InvalidRequest(
                f"frame {frame} of stage {self.stage_id} was never shown, the newest is {newest}; "
                "name the frame that the teacher saw"
            )

    def corrected_state(self, correction: Correction, teacher_id: str) -> Segment:
        """Return the state that a correction is about, with the action wanted, as a segment to store.

        Raises:
            InvalidRequest: the frame was never shown, the action is none of the task's, or there are several.
            NotFound: the frame is too old.
        """
        self.check_shown(correction.frame)
        self.action_space.check(correction.actions, "correction.actions")
        if len(correction.actions) != 1:
            raise InvalidRequest(
                "correction.actions: one action for one frame; to play several steps, take the controls"
            )
        frame = self._frames.get(correction.frame)
        if frame is None:
            raise NotFound(
                f"frame {correction.frame} of stage {self.stage_id} is too old to be corrected; "
                f"the last {REMEMBERED_FRAMES} frames can be"
            )
        said = f"{teacher_id}/{correction.event_id}/{correction.actions.tolist()}"
        name = hashlib.sha256(said.encode()).hexdigest()[:16]
        step = frame.frame - frame.episode
        return Segment(
            segment_id=f"{self.stage_id}/{frame.frame}/{name}",
            address=self.steps.address_of(frame.episode, step, step + 1),
            observations={key: np.asarray(value)[None] for key, value in frame.observations.items()},
            actions=correction.actions,
            policy_version=frame.step.policy_version if frame.step else 0,
        )

    def control(self, teacher_id: str, control: Control) -> timedelta | None:
        """Use the controls; see `Lease.use`.

        Raises:
            Unavailable: the stage is away.
        """
        if not self.open:
            raise Unavailable(f"stage {self.stage_id} is away; try again")
        return self.lease.use(teacher_id, control)

    def watch(self, teacher_id: str, window: int) -> Watch:
        """Begin to watch."""
        watch = Watch(secrets.token_hex(8), teacher_id, window, deque())
        self.watches[watch.watch_id] = watch
        self.news.put_nowait(Audience(len(self.watches)))
        return watch

    def take_over_audience(self, known: "LiveStage") -> None:
        """Let those who watch an earlier life of the stage watch this one."""
        self.watches, self.bell = known.watches, known.bell

    def leave(self, watch: Watch) -> None:
        """Watch no more."""
        del self.watches[watch.watch_id]
        self.news.put_nowait(Audience(len(self.watches)))

    def describe(self) -> Stage:
        """Return the stage as it stands."""
        newest = self.newest
        return Stage(
            run_id=self.run.run_id,
            stage_id=self.stage_id,
            frame=newest.frame if newest else 0,
            watchers=len(self.watches),
            paused=self.state.paused,
            rate=self.state.rate,
            holder=self.lease.holder,
            action_space=self.action_space,
            safe_stop=self.state.safe_stop,
        )


def _shapes(frame: StageFrame) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (str(array.dtype), array.shape) for name, array in frame.observations.items()}
