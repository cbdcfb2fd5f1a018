"""A teacher as a process: connect, take questions, think, answer, until told to stop."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.client.teaching import TeacherClient
from hitl.errors import NotYours
from hitl.events import Abstention, Choice
from hitl.questions import Turn
from hitl.teachers.judging import Expert, Observation
from hitl.teachers.process import POLL_SECONDS, run_until_stopped
from hitl.teachers.simulated import SimulatedSettings, SimulatedTeacher
from hitl.tensors import Array

_log = logging.getLogger(__name__)

# Short: a question whose lease was lost with a dying service comes back soon.
_LEASE_SECONDS = 15.0
# So many mean answering times are added to it.
_LEASE_THOUGHTS = 5.0


First = Callable[[TeacherClient, str, threading.Event], object]
"""Something that a teacher does for the run of this id, until told to stop."""


class Teacher(Protocol):
    """Something that answers questions."""

    def choose(self, question: LeasedPair) -> Choice:
        """Answer which of two segments is better."""
        ...

    def relabel(self, question: LeasedRelabel) -> Array | Abstention:
        """Answer what should be done in a state."""
        ...

    def rank(self, question: LeasedRanking) -> Sequence[int] | Abstention:
        """Answer in which order some segments are better."""
        ...

    def rate(self, question: LeasedRating) -> int | Abstention:
        """Answer how good a segment is."""
        ...

    def recognise(self, question: LeasedGoal) -> bool | Abstention:
        """Answer whether a state is wanted."""
        ...

    def thinking_seconds(self, question: LeasedQuestion) -> float:
        """Return how long this question takes to answer."""
        ...


def run_teacher(
    address: str,
    token: str,
    run_id: str,
    settings: SimulatedSettings,
    *,
    expert: Expert | None = None,
    goal: Callable[[Observation], bool] | None = None,
    first: First | None = None,
    turn: Turn | None = None,
    stop: threading.Event | None = None,
    patience_seconds: float = 60.0,
    wait_for_run_seconds: float = 120.0,
) -> int:
    """Be a simulated teacher until SIGTERM, SIGINT or `stop`.

    Args:
        address: host:port of the service.
        token: of the role oracle.
        run_id: the run to teach; it may be opened later.
        settings: what the teacher is like.
        expert: knows what to do where the run asks that; None where it does not.
        goal: tells whether a state is wanted where the run asks that; None: see `SimulatedTeacher`.
        first: what the teacher does before it answers; None: nothing.
        turn: of the teacher, if several alike take turns; None: it takes any question.
        stop: ends the loop, from another thread.
        patience_seconds: how long to look for a service that does not answer.
        wait_for_run_seconds: how long to wait for the run to be opened.

    Returns:
        The exit code, 0.

    Raises:
        RequestError: the service refused, or could not be reached for `patience_seconds`.
        ConfigError: the run asks what to do, and there is no expert, or it wants what cannot be done; or it asks
            whether a state is wanted, and the teacher does not know what is.
    """
    teacher = SimulatedTeacher(settings, expert, goal)

    def live(client: TeacherClient, told: threading.Event) -> None:
        if first is not None:
            first(client, run_id, told)
        _teach_as(teacher, settings, client, run_id, told, turn)

    return run_until_stopped(
        address,
        token,
        run_id,
        live,
        stop=stop,
        patience_seconds=patience_seconds,
        wait_for_run_seconds=wait_for_run_seconds,
    )


def _teach_as(
    teacher: SimulatedTeacher,
    settings: SimulatedSettings,
    client: TeacherClient,
    run_id: str,
    stop: threading.Event,
    turn: Turn | None,
) -> None:
    limit = settings.answers_per_second
    teach(
        client,
        run_id,
        teacher,
        stop,
        pause_seconds=0.0 if limit is None else 1.0 / limit,
        lease_seconds=_LEASE_SECONDS + _LEASE_THOUGHTS * settings.answer_seconds,
        turn=turn,
    )


def teach(
    client: TeacherClient,
    run_id: str,
    teacher: Teacher,
    stop: threading.Event,
    *,
    pause_seconds: float = 0.0,
    lease_seconds: float = _LEASE_SECONDS,
    turn: Turn | None = None,
) -> None:
    """Answer the questions of a run until `stop` is set, with at least `pause_seconds` between answers.

    Who has a turn answers those whose turn it is.

    Raises:
        RequestError: the service refused, or could not be reached in time.
    """
    next_time = time.monotonic()
    while not stop.is_set():
        for question in client.questions(
            run_id, wait_seconds=POLL_SECONDS, lease_seconds=lease_seconds, turn=turn
        ):
            thinking_end = time.monotonic() + teacher.thinking_seconds(question)
            if stop.wait(max(next_time, thinking_end) - time.monotonic()):
                question.release()
                return
            next_time = time.monotonic() + pause_seconds
            _answer(question, teacher)
            if stop.is_set():
                return


def _answer(question: LeasedQuestion, teacher: Teacher) -> None:
    try:
        match question:
            case LeasedPair():
                question.answer(teacher.choose(question))
            case LeasedRelabel():
                question.answer(teacher.relabel(question))
            case LeasedRanking():
                question.answer(teacher.rank(question))
            case LeasedRating():
                question.answer(teacher.rate(question))
            case LeasedGoal():
                question.answer(teacher.recognise(question))
    except NotYours as error:
        # Withdrawn or taken by someone else while we thought: nothing is lost, the next one counts.
        _log.info("an answer came too late: %s", error)
