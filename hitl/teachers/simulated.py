"""How a simulated teacher answers: rational or not, with ties, skips and mistakes; other kinds than comparisons are
in `answers`.

Source: B-Pref (Lee et al. 2021, arXiv:2111.03026), section 3.1: skip, then tie, then a choice by
Boltzmann rationality, then a mistake that turns the choice round. Ties and skips are never turned round. Its thresholds
are shares of the mean return of segments; here returns count from the lowest that the teacher has seen, so that the
zero of the reward does not matter.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.errors import ConfigError, Forbidden
from hitl.events import Abstention, Choice
from hitl.teachers.answers import RatingScale, logistic, rank, rate, recognise
from hitl.teachers.judging import Expert, ExpertJudge, Observation
from hitl.teachers.kinds import KINDS, KindName
from hitl.teachers.likeness import likeness
from hitl.tensors import Array

# The time to answer is gamma distributed: never near zero, sometimes long, as people's are.
_TIME_SHAPE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSettings:
    """What a simulated teacher is like."""

    rationality: float | None = None
    """Beta: the better one is chosen with probability 1 / (1 + exp(-beta * difference)); None: always."""
    mistake: float = 0.0
    """Chance that a choice, an order or a scale is turned round, or that what the policy did is wanted."""
    tie_threshold: float = 0.0
    """A difference in return of at most this is a tie."""
    rating_range: tuple[float, float] | None = None
    """True returns of a segment at which the worst rating begins and the best one ends; None: the lowest and highest
    seen so far, so that a rating depends on those before it."""
    goal_reward: float | None = None
    """A state is what is wanted where the step from it has at least this true reward; None: see `SimulatedTeacher`."""
    skip: float = 0.0
    """Chance to skip a question."""
    skip_share: float = 0.0
    """Comparisons of two segments that are both below this share of the mean return are skipped."""
    equal_share: float = 0.0
    """Comparisons that differ by at most this share of the mean return are ties."""
    discount: float = 1.0
    """Of comparisons: each step weighs so much less than the one behind it; below 1 a teacher is myopic."""
    alike_mistake: float = 0.0
    """Chance that a choice is turned round where both segments look the same; it falls the less alike they are."""
    always_first: bool = False
    """The first of two segments is chosen, whatever it is."""
    answer_seconds: float = 0.0
    """Mean time to answer."""
    answers_per_second: float | None = None
    """At most so many; None: no limit."""
    seed: int = 0
    """Teachers with the same seed answer a question alike, whoever takes it."""

    def __post_init__(self) -> None:
        for name in ("mistake", "skip", "skip_share", "equal_share", "discount", "alike_mistake"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; a chance lies from 0 to 1")
        for name in ("rationality", "tie_threshold", "answer_seconds"):
            if (getattr(self, name) or 0.0) < 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if self.rating_range is not None and not self.rating_range[0] < self.rating_range[1]:
            raise ConfigError(f"rating_range is {self.rating_range}; the second end lies above the first")
        if self.answers_per_second is not None and self.answers_per_second <= 0.0:
            raise ConfigError(f"answers_per_second is {self.answers_per_second}; it must be above 0")


def settings_of(kind: KindName, **own: Any) -> SimulatedSettings:
    """Return what a teacher of a kind is like.

    Args:
        kind: its name.
        **own: settings; those that are not the default ones win over the kind's.

    Raises:
        ConfigError: a number is out of its range.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(SimulatedSettings)}
    chosen = {name: value for name, value in own.items() if value != defaults[name]}
    return SimulatedSettings(**{**KINDS[kind], **chosen})


class SeenReturns:
    """The returns of all segments that a teacher has seen."""

    def __init__(self) -> None:
        self.lowest = math.inf
        self._sum, self._count = 0.0, 0

    def add(self, *returns: float) -> None:
        """Take note of some."""
        self.lowest = min(self.lowest, *returns)
        self._sum += sum(returns)
        self._count += len(returns)

    @property
    def mean(self) -> float:
        """Mean, counted from the lowest one."""
        return self._sum / self._count - self.lowest


def answer(
    true_rewards_first: Array,
    true_rewards_second: Array,
    rng: np.random.Generator,
    settings: SimulatedSettings,
    *,
    seen: SeenReturns | None = None,
    alike: float = 0.0,
) -> Choice:
    """Compare two segments.

    Args:
        true_rewards_first: of each step of the first, [steps].
        true_rewards_second: of the other.
        rng: chance.
        settings: what the teacher is like.
        seen: the returns of all segments so far, which these two join; None: they are the only ones.
        alike: how alike they look, from 0 to 1.
    """
    if settings.always_first:
        return Choice.FIRST
    if rng.random() < settings.skip:
        return Choice.SKIP
    returns, seen = (_return(true_rewards_first), _return(true_rewards_second)), seen or SeenReturns()
    seen.add(*returns)
    if settings.skip_share and max(returns) - seen.lowest <= settings.skip_share * seen.mean:
        return Choice.SKIP
    difference = returns[0] - returns[1]
    if abs(difference) <= max(settings.tie_threshold, settings.equal_share * seen.mean):
        return Choice.TIE
    if settings.discount < 1.0:
        difference = _discounted(true_rewards_first, settings.discount) - _discounted(
            true_rewards_second, settings.discount
        )
    if settings.rationality is None:
        prefers_first = difference > 0
    else:
        prefers_first = rng.random() < logistic(settings.rationality * difference)
    if rng.random() < settings.mistake + (1.0 - settings.mistake) * settings.alike_mistake * alike:
        prefers_first = not prefers_first
    return Choice.FIRST if prefers_first else Choice.SECOND


def question_rng(seed: int, question_id: str) -> np.random.Generator:
    """Return the source of chance for one question: the same for every teacher with this seed."""
    digest = hashlib.sha256(question_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


class SimulatedTeacher:
    """Answers questions as its settings say; needs a token of the role oracle."""

    def __init__(
        self,
        settings: SimulatedSettings,
        expert: Expert | None = None,
        goal: Callable[[Observation], bool] | None = None,
    ) -> None:
        """Take what the teacher is like.

        Args:
            settings: of its answers.
            expert: knows what to do where the run asks that.
            goal: tells whether a state is wanted, where the run asks that; None: by `settings.goal_reward`.
        """
        self._settings, self._expert, self._goal = settings, expert, goal
        self._scale, self._seen = RatingScale(settings.rating_range), SeenReturns()

    def choose(self, question: LeasedPair) -> Choice:
        """Answer which of two segments is better.

        Raises:
            Forbidden: it came without true rewards.
        """
        first, second = _true_rewards(question)
        settings, alike = self._settings, 0.0
        if settings.alike_mistake:
            alike = likeness(question.first.observations["obs"], question.second.observations["obs"])
        rng = question_rng(settings.seed, question.question_id)
        return answer(first, second, rng, settings, seen=self._seen, alike=alike)

    def rank(self, question: LeasedRanking) -> tuple[int, ...] | Abstention:
        """Answer in which order some segments are better.

        Raises:
            Forbidden: it came without true rewards.
        """
        return_S = [_return(rewards) for rewards in _true_rewards(question)]
        settings, rng = self._settings, question_rng(self._settings.seed, question.question_id)
        if rng.random() < settings.skip:
            return Abstention.SKIP
        return rank(
            return_S,
            rng,
            rationality=settings.rationality,
            tie_threshold=settings.tie_threshold,
            mistake=settings.mistake,
        )

    def rate(self, question: LeasedRating) -> int | Abstention:
        """Answer how good a segment is.

        Raises:
            Forbidden: it came without true rewards.
        """
        true_return = _return(_true_rewards(question)[0])
        cut_R = self._scale.cuts(true_return, question.points)
        settings, rng = self._settings, question_rng(self._settings.seed, question.question_id)
        if rng.random() < settings.skip:
            return Abstention.SKIP
        return rate(true_return, cut_R, rng, rationality=settings.rationality, mistake=settings.mistake)

    def recognise(self, question: LeasedGoal) -> bool | Abstention:
        """Answer whether a state is wanted.

        Raises:
            ConfigError: it does not know what is.
            Forbidden: it knows by the true reward, and the question came without.
        """
        settings, rng = self._settings, question_rng(self._settings.seed, question.question_id)
        if rng.random() < settings.skip:
            return Abstention.SKIP
        return recognise(self._is_wanted(question), rng, mistake=settings.mistake)

    def _is_wanted(self, question: LeasedGoal) -> bool:
        if self._goal is not None:
            return bool(self._goal(np.asarray(question.state["obs"], np.float32).ravel()))
        if self._settings.goal_reward is None:
            raise ConfigError(
                f"question {question.question_id} asks whether a state is wanted, which a simulated teacher knows by a "
                "function or by a true reward: name one with teachers.goal or teachers.goal_reward in the run file, "
                "or with --goal MODULE:FUNCTION or --goal-reward"
            )
        return float(_true_rewards(question)[0][question.step]) >= self._settings.goal_reward

    def relabel(self, question: LeasedRelabel) -> Array | Abstention:
        """Answer what should be done in a state: what the expert would do. By mistake, what the policy did.

        Raises:
            ConfigError: there is no expert, or it wants what cannot be done.
        """
        if self._expert is None:
            raise ConfigError(
                f"question {question.question_id} asks what to do, which a simulated teacher knows by an expert: "
                "name one with teachers.expert in the run file, or with --expert MODULE:CLASS"
            )
        rng = question_rng(self._settings.seed, question.question_id)
        if rng.random() < self._settings.skip:
            return Abstention.SKIP
        if rng.random() < self._settings.mistake:
            return np.asarray(question.segment.actions[question.step])
        observation = np.asarray(question.state["obs"], np.float32).ravel()
        return ExpertJudge(self._expert, question.action_space).wanted(observation)

    def thinking_seconds(self, question: LeasedQuestion) -> float:
        """Return how long this question takes to answer."""
        if not self._settings.answer_seconds:
            return 0.0
        rng = question_rng(self._settings.seed + 1, question.question_id)
        return float(rng.gamma(_TIME_SHAPE, self._settings.answer_seconds / _TIME_SHAPE))


def _true_rewards(question: LeasedQuestion) -> tuple[Array, ...]:
    if question.true_rewards is None:
        raise Forbidden(
            f"question {question.question_id} came without true rewards: a simulated teacher needs a "
            "token of the role oracle, and a task whose true reward is published"
        )
    return question.true_rewards


def _return(true_rewards: Array) -> float:
    return float(true_rewards.sum(dtype=np.float64))


def _discounted(true_rewards: Array, discount: float) -> float:
    """B-Pref: the last step weighs 1, the one before it `discount`, and so on."""
    weight = discount ** np.arange(len(true_rewards))[::-1]
    return float(true_rewards.astype(np.float64) @ weight)
