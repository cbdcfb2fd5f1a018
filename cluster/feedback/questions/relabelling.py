"""Asks what should be done in the newest visited states, and takes note of who has answered: for the label reader."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import ray

from cluster.feedback.journal_follower import Read
from cluster.feedback.questions.asking import Asking, AskingState
from cluster.feedback.questions.fresh import FreshRollouts
from cluster.feedback.questions.in_turn import AnswersInTurn
from cluster.feedback.questions.relabel_questions import Doubt, RelabelQuestions
from cluster.runs.relabel_config import RelabelQuestionsConfig
from hitl.events import JournalEntry, Relabel, Run, Segment
from hitl.reward.questions.schedule import QuestionSchedule
from hitl.spaces import action_space_of
from policies.acting.counsel import Counsel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelSettings:
    """What is asked, and by whom."""

    questions: RelabelQuestionsConfig
    publisher: Any
    """Handle of the actor that asks."""
    life: str
    """Of the driver, by the name that begins the ids of its questions."""
    seed: int
    lockstep: bool = False
    """Answers are waited for, and are learnt in the order of their questions."""
    answer_seconds: float
    """The longest wait."""
    model_config: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of `ActorCritic`, for the committee."""


class Relabelling:
    """The questions of one driver's life about what to do."""

    def __init__(
        self,
        settings: RelabelSettings,
        spaces: tuple[gym.Space[Any], gym.Space[Any]],
        *,
        opened: Run,
        stands: Run,
    ) -> None:
        """Begin.

        Args:
            settings: what is asked.
            spaces: of observations and of actions.
            opened: the run as the driver opened it.
            stands: the run as the service knows it now, with the questions of earlier lives.
        """
        questions = settings.questions
        self.lockstep, self._answer_seconds = settings.lockstep, settings.answer_seconds
        schedule = QuestionSchedule(
            budget=questions.budget,
            initial=min(questions.per_round, questions.budget),
            initial_env_steps=1,
            per_round=questions.per_round,
            round_env_steps=questions.round_env_steps,
            max_open=questions.max_open,
        )
        # A life in lockstep asks again what a lost one asked, by the same ids, and finds the answers in the journal.
        self._asking = Asking(
            schedule,
            opened if settings.lockstep else stands,
            prefix=f"r{settings.life}-",
            publisher=settings.publisher,
            expire_seconds=questions.expire_seconds,
            waits=settings.lockstep,
        )
        self._choice = RelabelQuestions(
            opened,
            action_space_of(spaces[1]),
            self._asking,
            segment_steps=questions.segment_steps,
            seed=settings.seed,
        )
        self._fresh = FreshRollouts(clips=questions.clips, batches=1)
        self._counsel = Counsel(*spaces, **settings.model_config) if questions.strategy == "doubt" else None
        self._in_turn = AnswersInTurn(self._asking, Relabel, lockstep=settings.lockstep)
        self._heard: list[Read] = []

    @property
    def open(self) -> int:
        """Questions that wait for an answer."""
        return self._asking.open

    @property
    def without_clip(self) -> int:
        """Segments that were asked about though their stage could not render them."""
        return self._asking.without_clip

    def get_state(self) -> AskingState:
        """Return what `set_state` takes."""
        return self._asking.get_state()

    def set_state(self, state: AskingState) -> None:
        """Go on in lockstep from a checkpoint: what was asked after it is asked again."""
        self._asking.set_state(state)
        self._heard += self._in_turn.take()

    def begin_anew(self, seed: int) -> None:
        """Make what follows a function of what a checkpoint holds and of a seed."""
        self._fresh.clear()
        self._choice.begin_anew(seed)

    def show_played(self, stage_id: str, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        """Take note of all that a stage can render; boxed references by name."""
        self._fresh.show_played(stage_id, rollouts)

    def hear(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """Take note of an answer in the run's journal."""
        self._heard += self._in_turn.take([(entry, segments)])

    def take(self) -> list[Read]:
        """Return the answers that count and were not returned yet; in lockstep in the order of their questions."""
        heard, self._heard = self._heard, []
        return sorted(heard, key=_by_question) if self.lockstep else heard

    def wait_for_answers(self, read: Callable[[], object], *, news: threading.Event) -> None:
        """In lockstep, wait until all that was asked is answered.

        Args:
            read: calls `hear`.
            news: set when there is something to read.

        Raises:
            DeadlineExceeded: the answers did not come in time.
        """
        if self.lockstep:
            self._heard += self._in_turn.take()
            self._asking.wait_for_answers(read, news=news, timeout_seconds=self._answer_seconds)

    def ask_if_due(
        self, rollouts: dict[str, list[ray.ObjectRef]], *, env_steps: int, weights: ray.ObjectRef | None
    ) -> None:
        """Ask about a batch of rollouts, or about what stages have played, where that is due.

        Only in lockstep is it waited for that the service has the questions; it may be away.

        Args:
            rollouts: boxed references by name.
            env_steps: of the run, with this batch.
            weights: of the policy and its committee.
        """
        self._fresh.add_batch(rollouts)
        try:
            self._ask_if_due(env_steps, weights)
        except ray.exceptions.RayError as error:
            if self.lockstep:
                raise
            logger.warning("nobody is asked what to do this time: %s", str(error).splitlines()[0])

    def _ask_if_due(self, env_steps: int, weights: ray.ObjectRef | None) -> None:
        fresh = self._fresh.to_ask_about()
        if not fresh or not (count := self._asking.due(env_steps)):
            return
        questions, cuttings = self._choice.choose(count, fresh, self._doubt(weights))
        if questions:
            self._asking.ask(questions, cuttings, env_steps=env_steps)

    def _doubt(self, weights: ray.ObjectRef | None) -> Doubt | None:
        counsel = self._counsel
        if counsel is None or weights is None:
            return None
        counsel.load(ray.get(weights))
        return lambda observation_SO, action_SA: counsel.about(observation_SO, action_SA)[0]


def _question_id(read: Read) -> str:
    event = read[0].event
    assert isinstance(event, Relabel)
    return event.question_id


def _by_question(read: Read) -> tuple[int, str]:
    return len(_question_id(read)), _question_id(read)
