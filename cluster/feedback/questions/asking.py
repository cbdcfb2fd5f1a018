"""Asking: when questions are due, how they reach the service, and which still wait for an answer."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import ray

from cluster.feedback.questions.publisher import Asked, Cutting
from hitl.errors import DeadlineExceeded
from hitl.events import Question, Run
from hitl.reward.questions.schedule import QuestionSchedule

ANSWER_SECONDS = 120.0
"""That lockstep waits for its teachers."""
LOOK_SECONDS = 0.05
"""That it waits for news before it reads what has come."""
MORE_SECONDS = 5.0
"""That it waits for the next answer where all questions have one and some want another."""
_EARLIER = "asked in an earlier life"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingState:
    """How far asking has come, for a run in lockstep, where nobody is waited for at a checkpoint."""

    questions: int
    """Asked so far."""
    last_round: int | None
    """Environment steps of the newest round; None before the first one."""


class Asking:
    """The questions of one kind in a run, as one life of who asks them knows them."""

    def __init__(
        self,
        schedule: QuestionSchedule,
        run: Run,
        *,
        prefix: str,
        publisher: Any,
        expire_seconds: float,
        waits: bool,
        share: Callable[[Sequence[Question]], list[Question]] = list,
        several_teachers: bool = False,
    ) -> None:
        """Begin.

        Args:
            schedule: when to ask how much.
            run: as the service knows it, with the questions of earlier lives.
            prefix: begins the ids of questions; of the kind and the driver's life.
            publisher: handle of the actor that asks.
            expire_seconds: after which an open question is withdrawn.
            waits: whether `ask` returns when the service has the questions; else they are published while everything
                else goes on.
            share: returns what to ask in the place of questions, so that some are answered by several teachers.
            several_teachers: there surely are, so that all answers are waited for.
        """
        self.schedule = schedule
        self.answered: set[str] = set()
        """Questions with an answer; those that want several may wait for more."""
        self.answers = 0
        """Of all teachers."""
        self._share = share
        self._more: dict[str, tuple[int, datetime]] = {}
        """How many answers a question wants beyond the first, and until when."""
        self._several_teachers = several_teachers
        self._others_answer = True
        """Whether it is worth waiting for the second answers of questions."""
        self._prefix, self._publisher = prefix, publisher
        self._expire_seconds, self._waits = expire_seconds, waits
        self._number = run.open_questions + run.answered_questions + run.closed_questions
        self._last_round: int | None = None
        self._publishing: ray.ObjectRef | None = None
        self._published: set[str] = set()
        """The questions of the round that is being published."""
        self.without_clip = 0
        """Segments that were asked about though their stage could not render them."""
        self._expire_time = {f"{_EARLIER} {n}": self.expires() for n in range(run.open_questions)}

    @property
    def open(self) -> int:
        """Questions that wait for their first answer."""
        return len(self._expire_time)

    @property
    def _wanting(self) -> int:
        """Questions whose answers are waited for, whatever may come of it."""
        more = self._more.keys() if self._several_teachers else set()
        return len(self._expire_time.keys() | more)

    @property
    def number(self) -> int:
        """Of the newest question; the next one has the number behind it."""
        return self._number

    @property
    def asked(self) -> int:
        """Answers of open and answered questions: one each, but of those that want several as many as they want."""
        return self.open + self.answers + sum(count for count, _ in self._more.values())

    def is_in_first_round(self, known: int) -> bool:
        """Whether answers of the first round are waited for; `known` are there, those of other runs among them."""
        return self.open > 0 and max(len(self.answered), known) < self.schedule.initial

    def take_answer(self, question_id: str) -> None:
        """Wait for a question no longer; one of an earlier life stands for any that is not known."""
        self.answers += 1
        if question_id in self.answered:
            self._others_answer = True
            count, end = self._more.pop(question_id, (1, None))
            if end and count > 1:
                self._more[question_id] = count - 1, end
            return
        self.answered.add(question_id)
        if self._expire_time.pop(question_id, None) is None:
            earlier = next((name for name in self._expire_time if name.startswith(_EARLIER)), None)
            self._expire_time.pop(earlier or "", None)

    def is_still_to_ask(self, question_id: str) -> bool:
        """Whether a question is one of a lost life in lockstep that comes up again later in this one."""
        number = question_id.removeprefix(self._prefix)
        return number != question_id and number.isdecimal() and int(number) > self._number

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

    def leave_round(self, env_steps: int) -> None:
        """Let a round pass in which nothing was worth asking: the next one is due as after one that was asked."""
        self._last_round = env_steps

    def due(self, env_steps: int) -> int:
        """Return how many questions to ask now: none while a round is still being published.

        Those that have expired are waited for no longer.
        """
        if not self._is_free():
            return 0
        return self.schedule.due(
            env_steps=env_steps,
            last_round_env_steps=self._last_round,
            asked=self.asked,
            open_questions=self.open,
        )

    def at_once(self, count: int) -> int:
        """Return how many of so many questions may be asked out of turn: the budget and who is busy bound them."""
        if not self._is_free():
            return 0
        most = min(self.schedule.budget - self.asked, self.schedule.max_open - self.open)
        return max(0, min(count, most))

    def _is_free(self) -> bool:
        """Wait for questions that have expired no longer, and return whether another round can be published."""
        if self._publishing is not None and not self._take_published(timeout=0.0):
            return False
        now = datetime.now(UTC)
        self._expire_time = {name: end for name, end in self._expire_time.items() if end > now}
        self._more = {name: (count, end) for name, (count, end) in self._more.items() if end > now}
        return True

    def ask(self, questions: Sequence[Question], cuttings: Sequence[Cutting], *, env_steps: int) -> None:
        """Publish the segments and ask, some in a way that several teachers answer."""
        questions = self._share(questions)
        named = {segment_id for question in questions for segment_id in question.segment_ids}
        cuttings = [cutting for cutting in cuttings if cutting.segment.segment_id in named]
        ends = {question.question_id: self.expires() for question in questions}
        self._expire_time |= ends
        self._more |= {
            question.question_id: (question.answers - 1, ends[question.question_id])
            for question in questions
            if question.answers > 1
        }
        self._published = set(ends)
        self._publishing = self._publisher.ask.remote(questions, cuttings)
        if self._waits:
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
            self._more.pop(lost, None)
        self.without_clip += asked.without_clip
        return True

    def wait_for_answers(
        self, read: Callable[[], object], *, news: threading.Event, timeout_seconds: float
    ) -> None:
        """Wait until no question is open, and then, while more answers come, for those that questions want still.

        So one teacher alone holds nobody up: who has seen no second answer waits for none any more. Where there surely
        are several, all answers are waited for.

        Args:
            read: takes the answers that have come.
            news: set when some may have.
            timeout_seconds: the longest wait.

        Raises:
            DeadlineExceeded: the answers did not come in time.
        """

        def look() -> None:
            news.wait(LOOK_SECONDS)
            read()

        deadline = time.monotonic() + timeout_seconds
        while self._wanting:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"{self._wanting} questions had no answer after {timeout_seconds:.0f} s, or no second one; "
                    "lockstep waits for its teachers: start some (teachers.count, or `handrail teach`)"
                )
            look()
        while self._more and self._others_answer:
            before, end = self.answers, time.monotonic() + MORE_SECONDS
            while self.answers == before and time.monotonic() < end:
                look()
            self._others_answer = self.answers > before

    def new_id(self) -> str:
        """Return the id of the next question."""
        self._number += 1
        return f"{self._prefix}{self._number:05d}"

    def expires(self) -> datetime:
        """Return when a question that is asked now is withdrawn."""
        return datetime.now(UTC) + timedelta(seconds=self._expire_seconds)
