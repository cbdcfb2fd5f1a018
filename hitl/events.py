"""What people say and what it is about, as typed objects; `hitl.wire` turns them into messages and back."""

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hitl.questions import DEFAULT_POINTS as DEFAULT_POINTS
from hitl.questions import GoalQuestion as GoalQuestion
from hitl.questions import PairQuestion as PairQuestion
from hitl.questions import Question as Question
from hitl.questions import RankingQuestion as RankingQuestion
from hitl.questions import RatingQuestion as RatingQuestion
from hitl.questions import RelabelQuestion as RelabelQuestion
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAddress:
    """Consecutive steps [begin, end) of one agent in one episode of one source."""

    task_id: str
    run_id: str
    source: str
    episode: int
    begin: int
    end: int
    agent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """How consecutive steps were shown on a stage.

    `seconds` says when the outcome of each was first shown, on the stage's clock, float64[steps]; `policy_versions`
    is int64[steps].
    """

    stage_id: str
    first_frame: int
    """The picture of what the first step led to; those of the other steps follow without a gap."""
    seconds: Array
    policy_versions: Array
    teacher_id: str = ""
    """Who acted instead of the policy; empty: nobody did."""

    @property
    def end_frame(self) -> int:
        """The frame after the last step's."""
        return self.first_frame + len(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a step led to: the state behind it, of shape [...] under each name, and whether the episode ended there."""

    observations: Mapping[str, Array]
    terminated: bool = False
    """Nothing follows."""
    truncated: bool = False
    """The episode was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Consecutive steps of one episode: what a teacher judges.

    `observations` maps a name to an array of shape [steps, ...] (a plain observation is called "obs");
    `actions` has shape [steps, ...].
    """

    segment_id: str
    address: StepAddress
    observations: Mapping[str, Array]
    actions: Array
    policy_version: int
    showing: Showing | None = None
    """Only of steps that were played on a stage."""
    outcome: Outcome | None = None
    """Of the last step; only of steps that were played on a stage or demonstrated."""

    def __len__(self) -> int:
        return self.address.end - self.address.begin


class Choice(enum.StrEnum):
    """The answer to a pair question; skip and cannot_tell are counted and never trained on."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    SKIP = "skip"
    CANNOT_TELL = "cannot_tell"


class Abstention(enum.StrEnum):
    """Why a question has no answer; counted and never trained on."""

    SKIP = "skip"
    CANNOT_TELL = "cannot_tell"


def new_event_id() -> str:
    """Return an id for an event; a retry of the same event must keep it."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer to a pair question."""

    run_id: str
    question_id: str
    choice: Choice
    thinking_time: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """The answer to a relabel question: the action that should be taken there, of shape [...], or why there is none.

    `step` is the question's: the journal keeps answers without their questions.
    """

    run_id: str
    question_id: str
    step: int
    answer: Array | Abstention = field(compare=False)
    thinking_time: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer to a ranking question: the place of each of its segments, in its order, or why there is none.

    1 is the best, and equal numbers are ties. Dense: every number from 1 to the highest comes up.
    """

    run_id: str
    question_id: str
    ranks: tuple[int, ...] | Abstention
    thinking_time: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """The answer to a rating question: from 1, the worst, to its `points`; or why there is none."""

    run_id: str
    question_id: str
    rating: int | Abstention
    points: int = DEFAULT_POINTS
    thinking_time: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The answer to a goal question: whether the state of the question's `step` is wanted, or why there is none."""

    run_id: str
    question_id: str
    step: int
    reached: bool | Abstention
    thinking_time: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """The teacher's own steps [begin, end) of one of their episodes; the journal's entry names them as segments.

    An episode that was sent in pieces has one number in all of them. `digest` is the SHA-256 of what was sent.
    """

    run_id: str
    episode: int
    begin: int
    end: int
    digest: bytes = field(repr=False)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """An earlier event of the same teacher is taken back: it stays in the journal and no longer counts."""

    run_id: str
    retracted_event_id: str
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A live judgement, from -1 to 1, of the steps shown a reaction time before the key was pressed.

    `offset` is the time from being shown the frame to the key press, on the teacher's own monotonic clock.
    """

    run_id: str
    stage_id: str
    frame: int
    value: float
    offset: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What the teacher wants in the state that a frame shows and in those that followed, or did in them.

    `actions` has shape [steps, ...]; `offset` is as in `Signal`.
    """

    run_id: str
    stage_id: str
    frame: int
    actions: Array = field(compare=False)
    offset: timedelta = timedelta(0)
    event_id: str = field(default_factory=new_event_id)


Judgement = Comparison | Ranking | Rating | Goal
"""Any answer that says how good something is."""

Answer = Judgement | Relabel
"""Any answer to a question."""

Event = Answer | Retraction | Signal | Correction | Demonstration
"""Any statement of a teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that an event is durable."""

    run_id: str
    event_id: str
    offset: int
    record_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """An event as the journal keeps it; `event` is None where its kind is newer than this program."""

    offset: int
    teacher_id: str
    record_time: datetime
    event: Event | None
    segment_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is; versions only grow, over restarts too."""

    env_steps: int = 0
    policy_version: int = 0
    reward_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A policy and a reward model being trained on a task, as the service knows it."""

    run_id: str
    task_id: str
    epoch: int
    progress: Progress
    open_questions: int
    answered_questions: int
    closed_questions: int
    journal_end: int
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An environment with its spaces; two environments with one fingerprint share their feedback."""

    task_id: str
    name: str
    fingerprint: str
