"""Whether an answer is one to its question, and comes in time."""

from hitl.errors import InvalidRequest, NotYours
from hitl.events import (
    Abstention,
    Answer,
    Comparison,
    Goal,
    GoalQuestion,
    PairQuestion,
    Question,
    Ranking,
    RankingQuestion,
    Rating,
    RatingQuestion,
    Relabel,
    RelabelQuestion,
)
from hitl.storage import questions

_ANSWERS: dict[type[Question], type[Answer]] = {
    PairQuestion: Comparison,
    RelabelQuestion: Relabel,
    RankingQuestion: Ranking,
    RatingQuestion: Rating,
    GoalQuestion: Goal,
}


def check_fits(event: Answer, question: Question) -> None:
    """Check that an answer is one to its question.

    Raises:
        InvalidRequest: it answers another kind of question, is about another step or another number of points or
            segments, or is none of the actions.
    """
    wanted = _ANSWERS[type(question)]
    if not isinstance(event, wanted):
        raise InvalidRequest(
            f"question {event.question_id} is answered by a {wanted.__name__.lower()}, "
            f"not by a {type(event).__name__.lower()}"
        )
    match event, question:
        case (Relabel(), RelabelQuestion()):
            _check_same(event, "relabel.step", event.step, question.step, "is about step {}")
            if not isinstance(event.answer, Abstention):
                question.action_space.check(event.answer[None], "relabel.action")
        case (Ranking(ranks=tuple() as ranks), RankingQuestion()):
            _check_same(event, "ranking.ranks", len(ranks), len(question.segment_ids), "is about {} segments")
        case (Rating(), RatingQuestion()):
            _check_same(event, "rating.points", event.points, question.points, "has {} points")
        case (Goal(), GoalQuestion()):
            _check_same(event, "goal.step", event.step, question.step, "is about step {}")


def _check_same(event: Answer, what: str, said: int, asked: int, words: str) -> None:
    if said != asked:
        raise InvalidRequest(f"{what}: {said}, but question {event.question_id} {words.format(asked)}")


def check_open(asked: questions.Asked, question_id: str, teacher_id: str, now: int) -> None:
    """Check that a question waits for this teacher's answer.

    Raises:
        NotYours: it has been closed, has expired, has this teacher's answer or is with someone else.
    """
    if asked.state != questions.OPEN:
        raise NotYours(f"question {question_id} is {asked.state} already; take another one")
    if asked.expire_us is not None and asked.expire_us <= now:
        raise NotYours(f"question {question_id} has expired; take another one")
    if teacher_id in asked.answerers:
        raise NotYours(
            f"question {question_id} has your answer, and is left to another teacher; take another one"
        )
    # A lease that ran out forbids nothing: who thinks too long loses nothing unless someone else took it.
    if asked.lease_teacher_id not in (None, teacher_id) and asked.lease_end_us > now:
        raise NotYours(f"question {question_id} is with another teacher now; take another one")
