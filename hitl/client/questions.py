"""A question in the hands of a teacher."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hitl.events import Choice, Question, Receipt, Segment
from hitl.stages import Clip
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedQuestion:
    """A question that is this teacher's until `lease_expire_time`, with what is needed to answer it.

    `true_rewards` has the environment's reward of each segment, shape [steps]; only oracles get it.
    """

    question: Question
    lease_expire_time: datetime
    segments: tuple[Segment, ...]
    true_rewards: tuple[Array, ...] | None
    _compare: Callable[[Question, Choice, timedelta], Receipt] = field(repr=False)
    _release: Callable[[Question], None] = field(repr=False)
    _clip: Callable[[str, str], Clip | None] = field(repr=False)
    _shown_seconds: float = field(default_factory=time.monotonic, repr=False)

    @property
    def question_id(self) -> str:
        """The question's id."""
        return self.question.question_id

    @property
    def first(self) -> Segment:
        """The first segment."""
        return self.segments[0]

    @property
    def second(self) -> Segment:
        """The second segment."""
        return self.segments[1]

    @property
    def true_returns(self) -> tuple[float, ...] | None:
        """The sum of each segment's true rewards; only oracles get it."""
        if self.true_rewards is None:
            return None
        return tuple(float(rewards.sum(dtype="float64")) for rewards in self.true_rewards)

    def clips(self) -> tuple[Clip | None, ...]:
        """Fetch what each segment looks like; None where there is no clip of it.

        Raises:
            RequestError: the service refuses, or cannot be reached.
        """
        return tuple(self._clip(self.question.run_id, segment.segment_id) for segment in self.segments)

    def answer(self, choice: Choice, *, thinking_time: timedelta | None = None) -> Receipt:
        """Answer; the thinking time is measured from when the question came, unless it is given.

        Raises:
            NotYours: it was answered, withdrawn, has expired or is with someone else by now.
        """
        if thinking_time is None:
            thinking_time = timedelta(seconds=time.monotonic() - self._shown_seconds)
        return self._compare(self.question, choice, thinking_time)

    def skip(self) -> Receipt:
        """Answer that one does not want to answer; nobody else is asked.

        Raises:
            NotYours: as `answer`.
        """
        return self.answer(Choice.SKIP)

    def release(self) -> None:
        """Give the question back unanswered, for someone else."""
        self._release(self.question)
