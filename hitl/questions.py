"""What teachers are asked, as typed objects; `hitl.wire.segments` turns them into messages and back."""

from dataclasses import dataclass, field
from datetime import datetime

from hitl.errors import InvalidRequest
from hitl.stages import ActionSpace

DEFAULT_POINTS = 7
"""Of a rating."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Which questions are for one of several teachers who are alike; who has none may answer any.

    Every question has a place to begin at, which follows from its id, and each answer to it, skips included, is the
    next place's. So it repeats who answers what, whoever is faster.

    Raises:
        InvalidRequest: there is no such place.
    """

    place: int
    """Of this teacher, from 0."""
    places: int
    """Teachers who take turns."""

    def __post_init__(self) -> None:
        if self.places < 1:
            raise InvalidRequest(
                f"places: {self.places} teachers cannot take turns; give their number, or neither place nor places"
            )
        if not 0 <= self.place < self.places:
            raise InvalidRequest(
                f"place: {self.place} is none of {self.places} places; give one from 0 to {self.places - 1}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnyQuestion:
    """What all questions have."""

    question_id: str
    run_id: str
    value: float = 0.0
    policy_version: int = 0
    reward_version: int = 0
    expire_time: datetime | None = None
    answers: int = 1
    """So many different teachers are asked, one after the other. They are not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairQuestion(_AnyQuestion):
    """Which of two segments is better?"""

    first_segment_id: str
    second_segment_id: str

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """The segments asked about, in the question's order."""
        return (self.first_segment_id, self.second_segment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelQuestion(_AnyQuestion):
    """What should be done in the state of one step of a segment? Its steps before that are context."""

    segment_id: str
    step: int
    """From 0."""
    action_space: ActionSpace = field(compare=False)

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """The segment asked about."""
        return (self.segment_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingQuestion(_AnyQuestion):
    """In which order would you rather see more of these segments?"""

    segment_ids: tuple[str, ...]
    """At least two, all different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingQuestion(_AnyQuestion):
    """How good is a segment?"""

    segment_id: str
    points: int = DEFAULT_POINTS
    """An answer is one of 1, the worst, to this; at least 2."""

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """The segment asked about."""
        return (self.segment_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalQuestion(_AnyQuestion):
    """Is the state of one step of a segment what the teacher wants? Its steps before that are context."""

    segment_id: str
    step: int
    """From 0."""

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """The segment asked about."""
        return (self.segment_id,)


Question = PairQuestion | RelabelQuestion | RankingQuestion | RatingQuestion | GoalQuestion
"""Any question."""
