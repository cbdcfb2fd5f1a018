"""How a simulated teacher answers: rational or not, with ties, skips and mistakes.

Source: B-Pref (Lee et al. 2021, arXiv:2111.03026), section 3.1: skip, then tie, then a choice by
Boltzmann rationality, then a mistake that turns the choice round. Ties and skips are never turned round.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from hitl.client.questions import LeasedPair, LeasedQuestion, LeasedRelabel
from hitl.errors import ConfigError, Forbidden
from hitl.events import Abstention, Choice
from hitl.teachers.judging import Expert, ExpertJudge
from hitl.tensors import Array

# The time to answer is gamma distributed: never near zero, sometimes long, as people's are.
_TIME_SHAPE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSettings:
    """What a simulated teacher is like."""

    rationality: float | None = None
    """Beta: the better one is chosen with probability 1 / (1 + exp(-beta * difference)); None: always."""
    mistake: float = 0.0
    """Chance that a choice is turned round, or that what the policy did is wanted."""
    tie_threshold: float = 0.0
    """A difference in return of at most this is a tie."""
    skip: float = 0.0
    """Chance to skip a question."""
    answer_seconds: float = 0.0
    """Mean time to answer."""
    answers_per_second: float | None = None
    """At most so many; None: no limit."""
    seed: int = 0
    """Teachers with the same seed answer a question alike, whoever takes it."""

    def __post_init__(self) -> None:
        for name in ("mistake", "skip"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; a chance lies from 0 to 1")
        for name in ("rationality", "tie_threshold", "answer_seconds"):
            if (getattr(self, name) or 0.0) < 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if self.answers_per_second is not None and self.answers_per_second <= 0.0:
            raise ConfigError(f"answers_per_second is {self.answers_per_second}; it must be above 0")


def answer(
    true_rewards_first: Array,
    true_rewards_second: Array,
    rng: np.random.Generator,
    settings: SimulatedSettings,
) -> Choice:
    """Compare two segments by their true rewards, each of shape [steps]."""
    if rng.random() < settings.skip:
        return Choice.SKIP
    difference = float(true_rewards_first.sum(dtype=np.float64) - true_rewards_second.sum(dtype=np.float64))
    if abs(difference) <= settings.tie_threshold:
        return Choice.TIE
    if settings.rationality is None:
        prefers_first = difference > 0
    else:
        prefers_first = rng.random() < _logistic(settings.rationality * difference)
    if rng.random() < settings.mistake:
        prefers_first = not prefers_first
    return Choice.FIRST if prefers_first else Choice.SECOND


def _logistic(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def question_rng(seed: int, question_id: str) -> np.random.Generator:
    """Return the source of chance for one question: the same for every teacher with this seed."""
    digest = hashlib.sha256(question_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


class SimulatedTeacher:
    """Answers questions as its settings say; needs a token of the role oracle."""

    def __init__(self, settings: SimulatedSettings, expert: Expert | None = None) -> None:
        """Take what the teacher is like, and who knows what to do where the run asks that."""
        self._settings, self._expert = settings, expert

    def choose(self, question: LeasedPair) -> Choice:
        """Answer which of two segments is better.

        Raises:
            Forbidden: it came without true rewards.
        """
        if question.true_rewards is None:
            raise Forbidden(
                f"question {question.question_id} came without true rewards: a simulated teacher needs a "
                "token of the role oracle, and a task whose true reward is published"
            )
        first, second = question.true_rewards
        return answer(first, second, question_rng(self._settings.seed, question.question_id), self._settings)

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
