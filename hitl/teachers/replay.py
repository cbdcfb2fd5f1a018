"""A teacher that says again what was said before."""

from collections.abc import Mapping
from pathlib import Path

from hitl.client.questions import LeasedPair, LeasedQuestion, LeasedRelabel
from hitl.errors import ConfigError, NotFound
from hitl.events import Abstention, Choice, Comparison, Relabel, Retraction
from hitl.storage.engine import open_engines, sqlite_url
from hitl.storage.journal import read_entries
from hitl.tensors import Array
from hitl.v1 import types_pb2
from hitl.wire.events import decode_event

Answer = Choice | Array | Abstention


class RecordedTeacher:
    """Answers each question as it was answered in the record, at once."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        """Take the recorded answers, by question_id."""
        self._answers = answers

    def choose(self, question: LeasedPair) -> Choice:
        """Answer a question.

        Raises:
            NotFound: the record has no such answer to it.
        """
        answer = self._answers.get(question.question_id)
        if not isinstance(answer, Choice):
            raise _not_found(question)
        return answer

    def relabel(self, question: LeasedRelabel) -> Array | Abstention:
        """Answer a question.

        Raises:
            NotFound: the record has no such answer to it.
        """
        answer = self._answers.get(question.question_id)
        if answer is None or isinstance(answer, Choice):
            raise _not_found(question)
        return answer

    def thinking_seconds(self, question: LeasedQuestion) -> float:
        """Return 0: a record answers at once."""
        return 0.0


def _not_found(question: LeasedQuestion) -> NotFound:
    return NotFound(
        f"the record has no answer to question {question.question_id}; "
        "replay a record of a run with the same seed and settings"
    )


def recorded_answers(database: Path, run_id: str) -> dict[str, Answer]:
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
    answers: dict[tuple[str, str], Comparison | Relabel] = {}
    for entry in entries:
        event = decode_event(types_pb2.FeedbackEvent.FromString(entry.body))
        if isinstance(event, Comparison | Relabel):
            answers[entry.teacher_id, event.event_id] = event
        elif isinstance(event, Retraction):
            answers.pop((entry.teacher_id, event.retracted_event_id), None)
    return {
        event.question_id: event.choice if isinstance(event, Comparison) else event.answer
        for event in answers.values()
    }
