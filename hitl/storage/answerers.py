"""Who has answered the questions that want several teachers."""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select

from hitl.storage import schema

_answerers, _questions = schema.answerers, schema.questions

_OF_QUESTION = (
    _answerers.c.run_id == _questions.c.run_id,
    _answerers.c.question_id == _questions.c.question_id,
)

HAS_ANSWER: ColumnElement[bool] = exists().where(*_OF_QUESTION)
"""Whether a question that wants several teachers has had one."""
ANSWERS_GIVEN: ColumnElement[int] = (
    select(func.count()).select_from(_answerers).where(*_OF_QUESTION).scalar_subquery()
)
"""How many a question has had that wants several teachers; 0 of one that wants one, as long as it is open."""


def answered_by(teacher_id: str) -> ColumnElement[bool]:
    """Return whether a teacher has answered a question that wants several."""
    return exists().where(*_OF_QUESTION, _answerers.c.teacher_id == teacher_id)


def find_answerers(
    connection: Connection, run_id: str, question_ids: Collection[str]
) -> list[tuple[str, str]]:
    """Return who has answered these questions that want several: each time the question and the teacher."""
    rows = connection.execute(
        select(_answerers.c.question_id, _answerers.c.teacher_id).where(
            _answerers.c.run_id == run_id, _answerers.c.question_id.in_(question_ids)
        )
    )
    return [(row[0], row[1]) for row in rows]


def add_answerers(connection: Connection, run_id: str, answered: Iterable[tuple[str, str]]) -> None:
    """Note who has answered which question; the caller has locked the run."""
    rows = [
        {"run_id": run_id, "question_id": question_id, "teacher_id": teacher_id}
        for question_id, teacher_id in answered
    ]
    if rows:
        connection.execute(insert(_answerers), rows)
