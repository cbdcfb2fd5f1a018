"""Which questions several teachers get."""

import pytest

from hitl.events import PairQuestion, Question
from hitl.questions import RatingQuestion
from hitl.reliability.ledger import Pair
from hitl.reliability.sharing import Sharing


def questions(count: int) -> list[Question]:
    return [
        PairQuestion(
            question_id=f"q{n}", run_id="run", first_segment_id=f"a{n}", second_segment_id=f"b{n}", value=0.5
        )
        for n in range(count)
    ]


def sharing(known: dict[Pair, int] | None = None, *, duplicates: float = 0.0, gold: float = 0.0) -> Sharing:
    return Sharing(duplicates=duplicates, gold=gold, known=lambda: known or {}, seed=0)


def test_without_shares_nothing_changes() -> None:
    def refuse() -> dict[Pair, int]:
        raise AssertionError

    asked = questions(5)
    assert Sharing(duplicates=0.0, gold=0.0, known=refuse, seed=0)(asked) == asked
    assert Sharing(duplicates=0.5, gold=0.0, known=dict, seed=0)([]) == []


def test_a_share_goes_to_two_teachers_and_answers_keep_within_the_number_of_questions() -> None:
    asked = sharing(duplicates=0.25)(questions(1000))
    twice = [question for question in asked if question.answers == 2]
    assert sum(question.answers for question in asked) == 1000
    assert len(twice) / len(asked) == pytest.approx(0.25, abs=0.05)
    assert [question.question_id for question in asked] == [f"q{n}" for n in range(len(asked))]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_all_twice(count: int) -> None:
    asked = sharing(duplicates=1.0)(questions(count))
    assert [question.answers for question in asked] == [2] * (count // 2) + [1] * (count % 2)


def test_what_is_known_takes_the_place_of_others_fewest_answered_first_and_once_a_round() -> None:
    known = {("run", "c", "d"): 3, ("run", "e", "f"): 2, ("run", "g", "h"): 2}
    asked = sharing(known, gold=1.0)(questions(5))
    assert [set(question.segment_ids) for question in asked] == [
        {"e", "f"},
        {"g", "h"},
        {"c", "d"},
        {"a3", "b3"},
        {"a4", "b4"},
    ]
    assert all(question.answers == 1 and question.value == 0.5 for question in asked)
    assert [question.question_id for question in asked] == [f"q{n}" for n in range(5)]
    assert len(known) == 3, "what the ledger said stays as it is"


def test_which_comes_first_is_chance() -> None:
    first = [sharing({("run", "c", "d"): 2}, gold=1.0)]
    seen = {first[0](questions(1))[0].segment_ids for _ in range(30)}
    assert seen == {("c", "d"), ("d", "c")}


def test_shares_are_apart_and_others_are_left_alone() -> None:
    known = {("run", f"c{n}", f"d{n}"): 2 for n in range(1000)}
    share = sharing(known, duplicates=0.2, gold=0.3)
    asked = share(questions(1000))
    gold = [q for q in asked if isinstance(q, PairQuestion) and q.segment_ids[0][0] in "cd"]
    assert len(gold) / len(asked) == pytest.approx(0.3, abs=0.05)
    assert sum(q.answers == 2 for q in asked) / len(asked) == pytest.approx(0.2, abs=0.05)
    rating = RatingQuestion(question_id="r", run_id="run", segment_id="s")
    assert sharing(known, duplicates=0.5, gold=0.5)([rating] * 4) == [rating] * 4


def test_the_seed_decides() -> None:
    share = sharing(duplicates=0.5)
    first = share(questions(20))
    assert share(questions(20)) != first
    share.begin_anew(0)
    assert share(questions(20)) == first
