"""A teacher that says again what was said before."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.errors import ConfigError, NotFound
from hitl.events import Abstention, Answer, Choice, Comparison, Goal, Ranking, Rating, Relabel, Retraction
from hitl.storage.engine import open_engines, sqlite_url
from hitl.storage.journal import read_entries
from hitl.tensors import Array
from hitl.v1 import types_pb2
from hitl.wire.events import decode_event

Said = Choice | Array | Abstention | tuple[int, ...] | int | bool
"""What answers of all kinds say."""


class RecordedTeacher:
    """Answers each question as it was answered in the record, at once."""

    def __init__(self, answers: Mapping[str, Said]) -> None:
        """Take the recorded answers, by question_id."""
        self._answers = answers

    def choose(self, question: LeasedPair) -> Choice:
        """Answer a question.

        Raises:
            NotFound: the record has no such answer to it.
        """
        match self._answers.get(question.question_id):
            case Choice() as choice:
                return choice
        raise _not_found(question)

    def relabel(self, question: LeasedRelabel) -> Array | Abstention:
        """As `choose`."""
        match self._answers.get(question.question_id):
            case np.ndarray() | Abstention() as answer:
                return answer
        raise _not_found(question)

    def rank(self, question: LeasedRanking) -> tuple[int, ...] | Abstention:
        """As `choose`."""
        match self._answers.get(question.question_id):
            case tuple() | Abstention() as answer:
                return answer
        raise _not_found(question)

    def rate(self, question: LeasedRating) -> int | Abstention:
        """As `choose`."""
        match self._answers.get(question.question_id):
            case (int() | Abstention()) as answer if not isinstance(answer, bool):
                return answer
        raise _not_found(question)

    def recognise(self, question: LeasedGoal) -> bool | Abstention:
        """As `choose`."""
        match self._answers.get(question.question_id):
            case bool() | Abstention() as answer:
                return answer
        raise _not_found(question)

    def thinking_seconds(self, question: LeasedQuestion) -> float:
        """Return 0: a record answers at once."""
        return 0.0


def _not_found(question: LeasedQuestion) -> NotFound:
    return NotFound(
        f"the record has no answer to question {question.question_id}; "
        "replay a record of a run with the same seed and settings"
    )


def recorded_answers(database: Path, run_id: str) -> dict[str, Said]:
    """Read the answers of a run that were not taken back, by question_id, from a service's feedback.db.

    Raises:
        ConfigError: there is no such file.
        StorageError: it is no database of ours.
    """
    if not database.is_file():
        raise ConfigError(f"no journal {database}; name the feedback.db in the folder of a run")
    writer, reader = open_engines(sqlite_url(database))
    with reader.connect() as connection:
        entries = read_entries(connection, run_id, 0, None)
    writer.dispose()
    reader.dispose()
    answers: dict[tuple[str, str], Answer] = {}
    for entry in entries:
        event = decode_event(types_pb2.FeedbackEvent.FromString(entry.body))
        if isinstance(event, Answer):
            answers[entry.teacher_id, event.event_id] = event
        elif isinstance(event, Retraction):
            answers.pop((entry.teacher_id, event.retracted_event_id), None)
    return {event.question_id: said_in(event) for event in answers.values()}


def said_in(event: Answer) -> Said:
    """Return what an answer says, whatever its kind."""
    match event:
        case Comparison():
            return event.choice
        case Relabel():
            return event.answer
        case Ranking():
            return event.ranks
        case Rating():
            return event.rating
        case Goal():
            return event.reached
