"""What a stage shows, and what teachers want of it, as typed objects; `hitl.wire.stages` turns them into messages.

A frame shows what a step led to: its signals are about steps, and its corrections about the state that it shows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import ArrayLike

from hitl.errors import InvalidRequest
from hitl.tensors import Array

MAX_CLIP_BYTES = 2 * 1024 * 1024
_OWN_STAGE = re.compile(r"stage-[0-9]+")


def own_stage_id(number: int) -> str:
    """Return the name of a stage that the cluster itself plays; no other may have it."""
    return f"stage-{number}"


def is_own_stage_id(stage_id: str) -> bool:
    """Whether it is the name of a stage that the cluster itself plays."""
    return _OWN_STAGE.fullmatch(stage_id) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A segment as an animated picture: what each state looks like, and what the last step led to."""

    data: bytes
    """At most `MAX_CLIP_BYTES`."""
    media_type: str = "image/webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpace:
    """What actions there are: `choices` options on each axis, or numbers between the bounds, which belong to it."""

    choices: tuple[int, ...] = ()
    single: bool = False
    """An action of `choices` is one number and not an array of one."""
    low: Array | None = None
    high: Array | None = None

    def check(self, actions: Array, what: str) -> None:
        """Check actions, one behind the other.

        Args:
            actions: shape [steps, ...].
            what: names them in the error.

        Raises:
            InvalidRequest: they have another shape or dtype, are not finite or lie outside.
        """
        shape: tuple[int, ...]
        if self.low is not None and self.high is not None:
            shape, low, high = self.low.shape, self.low, self.high
            right_kind = np.issubdtype(actions.dtype, np.floating)
        else:
            shape = () if self.single else (len(self.choices),)
            low = np.zeros(shape, np.int64)
            high = np.array(self.choices, np.int64).reshape(shape) - 1
            right_kind = np.issubdtype(actions.dtype, np.integer)
        if not right_kind or actions.shape[1:] != shape:
            raise InvalidRequest(
                f"{what}: {actions.dtype} of shape {actions.shape[1:]} is no action here; send {self}"
            )
        # Written so that what is not a number is outside.
        if not ((actions >= low) & (actions <= high)).all():  # type: ignore[operator]
            raise InvalidRequest(f"{what}: outside the action space; send {self}")

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"floats of shape {self.low.shape} from {self.low.tolist()} to {self.high.tolist()}"
        if self.single:
            return f"one integer from 0 to {self.choices[0] - 1}"
        return f"an integer from 0 to below each of {list(self.choices)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStep:
    """A step from the state that the frame before shows."""

    action: Array
    policy_version: int
    predicted_reward: float | None = None
    """By the newest reward model; None before the first one."""
    reward_version: int = 0
    """Of the newest reward model; 0 before the first one."""
    journal_end: int = 0
    """The feedback before this offset of the run's journal is in that reward model."""
    safe_stop: bool = False
    """The run's safe action: whoever acts has stopped the stage, and does not want this to be learnt."""
    teacher_id: str = ""
    """Who acted instead of the policy; empty: nobody did."""
    true_reward: float | None = None
    """The environment's; for oracles only."""
    terminated: bool = False
    """It ended the episode: nothing follows."""
    truncated: bool = False
    """It is the last one, for the episode was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFrame:
    """What a stage shows: the outcome of a step, or how an episode begins."""

    frame: int
    """Grows by one from frame to frame, and over restarts."""
    episode: int
    """The frame that began the episode."""
    show_seconds: float
    """On the stage's clock, which never runs backwards."""
    observations: Mapping[str, Array]
    """The state that it shows."""
    step: StageStep | None
    """None in the frame that begins an episode."""
    image: bytes = b""
    image_type: str = ""
    paused: bool = False
    rate: float = 0.0
    """Steps a second that the stage is paced at; 0: as fast as it can."""
    asks_help: bool = False
    """The policy would rather have somebody take the controls in the state that is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """What teachers have made of a stage; it may change while nothing new is shown."""

    paused: bool = False
    rate: float = 0.0
    """Steps a second that the stage is paced at; 0: its program sets the pace."""
    safe_stop: bool = False
    """Somebody has stopped it: it does the run's safe action until someone resumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as it stands."""

    run_id: str
    stage_id: str
    frame: int
    watchers: int
    paused: bool
    rate: float
    holder: str
    """Who has the controls; empty: nobody."""
    action_space: ActionSpace
    safe_stop: bool = False
    """Somebody has stopped it: it does the run's safe action until someone resumes."""


@dataclass(frozen=True, slots=True)
class Take:
    """The controls become the teacher's for a while; again before the end keeps them."""

    lease: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The controls are anybody's again, and the policy acts."""


@dataclass(frozen=True, slots=True)
class Act:
    """The holder of the controls acts instead of the policy, from the next step on."""

    action: ArrayLike
    """As an array, or as plain numbers."""
    hold: timedelta | None = None
    """How long, unless the next one comes before; None: until the controls are released."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The stage stands still."""


@dataclass(frozen=True, slots=True)
class Resume:
    """After a pause or a safe stop."""


@dataclass(frozen=True, slots=True)
class Advance:
    """One step, and pause again."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A new episode."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Another pace, in steps a second."""

    rate: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The run's safe action until someone resumes; anybody may, whoever has the controls."""


Control = Take | Release | Act | Pause | Resume | Advance | Reset | Rate | Stop
"""What a teacher does with the controls."""


@dataclass(frozen=True, slots=True)
class Command:
    """A control on its way to the stage."""

    teacher_id: str
    control: Control
