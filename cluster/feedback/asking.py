"""Asking: when questions are due, which ones, and which still wait for an answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import ray

from cluster.feedback.publisher import Asked, Cutting
from cluster.runs.reward_config import QuestionsConfig
from hitl.events import PairQuestion, Run
from hitl.reward import candidates
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions import STRATEGIES
from hitl.reward.schedule import QuestionSchedule
from policies.experience import Rollout

_SCHEDULE = {"budget", "initial", "initial_env_steps", "per_round", "round_env_steps", "max_open"}
_EARLIER = "asked in an earlier life"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingState:
    """How far asking has come, for a run in lockstep, where nobody is waited for at a checkpoint."""

    questions: int
    """Asked so far."""
    last_round: int | None
    """Environment steps of the newest round; None before the first one."""


class Asking:
    """The questions of one run, as one life of its reward trainer knows them."""

    def __init__(self, questions: QuestionsConfig, run: Run, *, life: str, publisher: Any, seed: int) -> None:
        """Begin.

        Args:
            questions: what to ask and when.
            run: as the service knows it, with the questions of earlier lives.
            life: begins the ids of questions.
            publisher: handle of the actor that asks.
            seed: of the candidates.
        """
        self.schedule = QuestionSchedule(**questions.model_dump(include=_SCHEDULE))
        self.answered: set[str] = set()
        self._questions, self._run, self._publisher = questions, run, publisher
        self._prefix = f"q{life}-"
        self._rng = np.random.default_rng(seed)
        self._number = run.open_questions + run.answered_questions + run.closed_questions
        self._last_round: int | None = None
        self._publishing: ray.ObjectRef | None = None
        self._published: set[str] = set()
        """The questions of the round that is being published."""
        self.without_clip = 0
        """Segments that were asked about though their stage could not render them."""
        self._expire_time = {f"{_EARLIER} {n}": self._expires() for n in range(run.open_questions)}

    @property
    def open(self) -> int:
        """Questions that wait for an answer."""
        return len(self._expire_time)

    @property
    def asked(self) -> int:
        """Open and answered questions."""
        return self.open + len(self.answered)

    def take_answer(self, question_id: str) -> None:
        """Wait for a question no longer; one of an earlier life stands for any that is not known."""
        self.answered.add(question_id)
        if self._expire_time.pop(question_id, None) is None:
            earlier = next((name for name in self._expire_time if name.startswith(_EARLIER)), None)
            self._expire_time.pop(earlier or "", None)

    def is_still_to_ask(self, question_id: str) -> bool:
        """Whether a question is one of a lost life in lockstep that comes up again later in this one."""
        number = question_id.removeprefix(self._prefix)
        return number != question_id and number.isdecimal() and int(number) > self._number

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._rng = np.random.default_rng(seed)

    def get_state(self) -> AskingState:
        """Return what `set_state` takes."""
        return AskingState(questions=self._number, last_round=self._last_round)

    def set_state(self, state: AskingState) -> None:
        """Go on from there; the answers come from the journal."""
        self._number, self._last_round = state.questions, state.last_round

    def skip_rounds_until(self, env_steps: int) -> None:
        """Count the next round's distance from here, if none was asked in this life."""
        if self._last_round is None:
            self._last_round = env_steps

    def due(self, env_steps: int) -> int:
        """Return how many questions to ask now: none while a round is still being published.

        Those that have expired are waited for no longer.
        """
        if self._publishing is not None and not self._take_published(timeout=0.0):
            return 0
        now = datetime.now(UTC)
        self._expire_time = {name: end for name, end in self._expire_time.items() if end > now}
        return self.schedule.due(
            env_steps=env_steps,
            last_round_env_steps=self._last_round,
            asked=self.asked,
            open_questions=self.open,
        )

    def choose(
        self,
        count: int,
        rollouts: Iterable[tuple[str, Rollout]],
        model: OnlineRewardModel,
        *,
        reward_version: int,
    ) -> tuple[list[PairQuestion], list[Cutting]]:
        """Choose what to ask about among segments of these rollouts."""
        cuttings = [
            Cutting(segment=w.segment, rollout=name, row_L=w.row_L, column=w.column)
            for name, rollout in rollouts
            for w in candidates.cut(
                rollout,
                steps=self._questions.segment_steps,
                task_id=self._run.task_id,
                run_id=self._run.run_id,
                rng=self._rng,
            )
        ]
        pairs = model.choose(
            [cutting.segment for cutting in cuttings],
            count=count,
            pool=self._questions.candidates,
            strategy=STRATEGIES[self._questions.strategy],
            rng=self._rng,
        )
        chosen = [(cuttings[pair.first], cuttings[pair.second], pair.value) for pair in pairs]
        questions = [self._question(first, second, value, reward_version) for first, second, value in chosen]
        return questions, [cutting for first, second, _ in chosen for cutting in (first, second)]

    def ask(self, questions: list[PairQuestion], cuttings: list[Cutting], *, env_steps: int) -> None:
        """Publish the segments and ask; returns when the service has the questions.

        Clips take a while: a round with clips is published while everything else goes on.
        """
        ends = {question.question_id: self._expires() for question in questions}
        self._expire_time |= ends
        self._published = set(ends)
        self._publishing = self._publisher.ask.remote(questions, cuttings)
        if not self._questions.clips:
            self._take_published(timeout=None)
        self._last_round = env_steps

    def _take_published(self, *, timeout: float | None) -> bool:
        """Take note of what has become of a round, if that is known by then."""
        publishing = self._publishing
        ready, _ = ray.wait([publishing], timeout=timeout)
        if not ready:
            return False
        self._publishing = None
        asked: Asked = ray.get(publishing)
        for lost in self._published.difference(asked.question_ids):
            self._expire_time.pop(lost, None)
        self.without_clip += asked.without_clip
        return True

    def _question(self, first: Cutting, second: Cutting, value: float, reward_version: int) -> PairQuestion:
        self._number += 1
        return PairQuestion(
            question_id=f"{self._prefix}{self._number:05d}",
            run_id=self._run.run_id,
            first_segment_id=first.segment.segment_id,
            second_segment_id=second.segment.segment_id,
            value=value,
            policy_version=max(first.segment.policy_version, second.segment.policy_version),
            reward_version=reward_version,
            expire_time=self._expires(),
        )

    def _expires(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._questions.expire_seconds)
