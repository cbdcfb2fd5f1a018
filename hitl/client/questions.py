"""A question in the hands of a teacher."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hitl.events import (
    Abstention,
    Choice,
    Comparison,
    Event,
    Goal,
    GoalQuestion,
    PairQuestion,
    Question,
    Ranking,
    RankingQuestion,
    Rating,
    RatingQuestion,
    Receipt,
    Relabel,
    RelabelQuestion,
    Segment,
)
from hitl.stages import ActionSpace, Clip
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leased:
    """A question that is this teacher's until `lease_expire_time`, with what is needed to answer it.

    `true_rewards` has the environment's reward of each segment, shape [steps]; only oracles get it.
    """

    question: Question
    lease_expire_time: datetime
    segments: tuple[Segment, ...]
    true_rewards: tuple[Array, ...] | None
    _submit: Callable[[Event], Receipt] = field(repr=False)
    _release: Callable[[Question], None] = field(repr=False)
    _clip: Callable[[str, str], Clip | None] = field(repr=False)
    _shown_seconds: float = field(default_factory=time.monotonic, repr=False)

    @property
    def question_id(self) -> str:
        """The question's id."""
        return self.question.question_id

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

    def release(self) -> None:
        """Give the question back unanswered, for someone else."""
        self._release(self.question)

    def _thinking_time(self, given: timedelta | None) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._shown_seconds) if given is None else given


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedPair(_Leased):
    """Which of two segments is better?"""

    question: PairQuestion

    @property
    def first(self) -> Segment:
        """The first segment."""
        return self.segments[0]

    @property
    def second(self) -> Segment:
        """The second segment."""
        return self.segments[1]

    def answer(self, choice: Choice, *, thinking_time: timedelta | None = None) -> Receipt:
        """Answer; the thinking time is measured from when the question came, unless it is given.

        Raises:
            NotYours: it was answered, withdrawn, has expired or is with someone else by now.
        """
        asked = self.question
        return self._submit(
            Comparison(
                run_id=asked.run_id,
                question_id=asked.question_id,
                choice=choice,
                thinking_time=self._thinking_time(thinking_time),
            )
        )

    def skip(self) -> Receipt:
        """Answer that one does not want to answer; nobody else is asked.

        Raises:
            NotYours: as `answer`.
        """
        return self.answer(Choice.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeasedJudgement(_Leased):
    """A question that may be left without an answer by an `Abstention`."""

    def answer(self, said: Any, *, thinking_time: timedelta | None = None) -> Receipt:
        """Answer, or say why one does not."""
        raise NotImplementedError

    def skip(self) -> Receipt:
        """Answer that one does not want to answer; nobody else is asked.

        Raises:
            NotYours: as `answer`.
        """
        return self.answer(Abstention.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeasedState(_LeasedJudgement):
    """A question about the state of one step of a segment."""

    question: RelabelQuestion | GoalQuestion

    @property
    def segment(self) -> Segment:
        """The steps before `step` are context; its action is what the policy did there."""
        return self.segments[0]

    @property
    def step(self) -> int:
        """Which step of the segment is meant, from 0."""
        return self.question.step

    @property
    def state(self) -> Mapping[str, Array]:
        """The state that is asked about, under the names of the segment's observations."""
        return {name: np.asarray(array[self.step]) for name, array in self.segment.observations.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedRelabel(_LeasedState):
    """What should be done in the state of one step of a segment?"""

    question: RelabelQuestion

    @property
    def action_space(self) -> ActionSpace:
        """What can be done."""
        return self.question.action_space

    def answer(self, action: ArrayLike | Abstention, *, thinking_time: timedelta | None = None) -> Receipt:
        """Say what should be done, or why one does not; the thinking time is as in `LeasedPair.answer`.

        Args:
            action: one of `action_space`.
            thinking_time: None measures it.

        Raises:
            InvalidRequest: there is no such action.
            NotYours: the question was answered, withdrawn, has expired or is with someone else by now.
        """
        asked, low = self.question, self.action_space.low
        if not isinstance(action, Abstention):
            action = np.asarray(action, None if low is None else low.dtype)
        return self._submit(
            Relabel(
                run_id=asked.run_id,
                question_id=asked.question_id,
                step=asked.step,
                answer=action,
                thinking_time=self._thinking_time(thinking_time),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedRanking(_LeasedJudgement):
    """In which order would you rather see more of some segments?"""

    question: RankingQuestion

    def answer(self, ranks: Sequence[int] | Abstention, *, thinking_time: timedelta | None = None) -> Receipt:
        """Say the order, or why one does not; the thinking time is as in `LeasedPair.answer`.

        Args:
            ranks: the place of each of `segments`; 1 is the best, equal numbers are ties, and none is left out.
            thinking_time: None measures it.

        Raises:
            InvalidRequest: they are no such places, or not one a segment.
            NotYours: the question was answered, withdrawn, has expired or is with someone else by now.
        """
        asked = self.question
        return self._submit(
            Ranking(
                run_id=asked.run_id,
                question_id=asked.question_id,
                ranks=ranks if isinstance(ranks, Abstention) else tuple(ranks),
                thinking_time=self._thinking_time(thinking_time),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedRating(_LeasedJudgement):
    """How good is a segment?"""

    question: RatingQuestion

    @property
    def segment(self) -> Segment:
        """What is to be rated."""
        return self.segments[0]

    @property
    def points(self) -> int:
        """The best rating; 1 is the worst."""
        return self.question.points

    def answer(self, rating: int | Abstention, *, thinking_time: timedelta | None = None) -> Receipt:
        """Say how good it is, or why one does not; the thinking time is as in `LeasedPair.answer`.

        Args:
            rating: from 1, the worst, to `points`.
            thinking_time: None measures it.

        Raises:
            InvalidRequest: there is no such rating.
            NotYours: the question was answered, withdrawn, has expired or is with someone else by now.
        """
        asked = self.question
        return self._submit(
            Rating(
                run_id=asked.run_id,
                question_id=asked.question_id,
                points=asked.points,
                rating=rating,
                thinking_time=self._thinking_time(thinking_time),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedGoal(_LeasedState):
    """Is the state of one step of a segment what you want?"""

    question: GoalQuestion

    def answer(self, reached: bool | Abstention, *, thinking_time: timedelta | None = None) -> Receipt:
        """Say whether it is, or why one does not; the thinking time is as in `LeasedPair.answer`.

        Raises:
            NotYours: the question was answered, withdrawn, has expired or is with someone else by now.
        """
        asked = self.question
        return self._submit(
            Goal(
                run_id=asked.run_id,
                question_id=asked.question_id,
                step=asked.step,
                reached=reached,
                thinking_time=self._thinking_time(thinking_time),
            )
        )


LeasedQuestion = LeasedPair | LeasedRelabel | LeasedRanking | LeasedRating | LeasedGoal
"""Any question in the hands of a teacher."""
