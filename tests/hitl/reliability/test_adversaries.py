"""Evidence of adversaries against the sum over all cases, written as the model says."""

import itertools
import math

import numpy as np
import pytest

from hitl.reliability import adversaries
from hitl.reliability.adversaries import MOST_EXACT, SharedAnswers, adversary_evidence

ACCURACY, ADVERSARIES = 0.75, 0.1


def shared(rows: list[tuple[int, int, float]]) -> SharedAnswers:
    teacher, question, side = np.array(rows).T
    return SharedAnswers(teacher_E=teacher.astype(int), question_E=question.astype(int), side_E=side)


def drawn(seed: int, teachers: int, questions: int) -> list[tuple[int, int, float]]:
    rng = np.random.default_rng(seed)
    rows = []
    for question in range(questions):
        asked = rng.choice(teachers, int(rng.integers(2, 4)), replace=False)
        rows += [(int(teacher), question, float(rng.choice([-1.0, 1.0]))) for teacher in asked]
    return rows


def by_the_model(
    rows: list[tuple[int, int, float]], teachers: int, trusted: set[int], accuracy: float, share: float
) -> list[float]:
    """P(answers | teacher t is ...), over who of the others is honest and which side of each question is right."""

    def likelihood(honest: tuple[bool, ...]) -> float:
        total = 1.0
        for question in {question for _, question, _ in rows}:
            either = 0.0
            for right in (-1.0, 1.0):
                chance = 0.5
                for teacher, asked, side in rows:
                    if asked == question:
                        says_right = accuracy if honest[teacher] else 1 - accuracy
                        chance *= says_right if side == right else 1 - says_right
                either += chance
            total *= either
        return total

    evidence = []
    for teacher in range(teachers):
        sums = {True: 0.0, False: 0.0}
        for honest in itertools.product([True, False], repeat=teachers):
            prior = 1.0
            for other in range(teachers):
                if other != teacher:
                    believed = 0.0 if other in trusted else share
                    prior *= 1 - believed if honest[other] else believed
            sums[honest[teacher]] += prior * likelihood(honest)
        evidence.append(math.log(sums[False]) - math.log(sums[True]))
    return evidence


def found(rows: list[tuple[int, int, float]], teachers: int, trusted: set[int] = frozenset()) -> np.ndarray:  # type: ignore[assignment]
    return adversary_evidence(
        shared(rows),
        accuracy=ACCURACY,
        adversaries=ADVERSARIES,
        trusted_T=np.array([teacher in trusted for teacher in range(teachers)]),
    )


@pytest.mark.parametrize("seed", range(6))
def test_all_cases_are_summed_over(seed: int) -> None:
    rows = drawn(seed, 4, 9)
    np.testing.assert_allclose(found(rows, 4), by_the_model(rows, 4, set(), ACCURACY, ADVERSARIES), atol=1e-9)


def test_the_trusted_are_honest() -> None:
    rows = drawn(1, 3, 8)
    evidence = found(rows, 3, {1})
    expected = by_the_model(rows, 3, {1}, ACCURACY, ADVERSARIES)
    np.testing.assert_allclose(evidence[[0, 2]], np.array(expected)[[0, 2]], atol=1e-9)
    assert evidence[1] == -np.inf


@pytest.mark.parametrize("seed", range(4))
def test_messages_are_exact_where_nothing_goes_in_circles(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    # Each teacher shares one question with one before, and some a third: a tree.
    rows = []
    for teacher in range(1, 6):
        for asked, who in ((teacher, teacher), (teacher, int(rng.integers(teacher)))):
            rows.append((who, asked - 1, float(rng.choice([-1.0, 1.0]))))
    rows.append((6, 0, 1.0))
    exact = by_the_model(rows, 7, {3}, ACCURACY, ADVERSARIES)
    monkeypatch.setattr(adversaries, "MOST_EXACT", 1)
    evidence = found(rows, 7, {3})
    keep = [teacher for teacher in range(7) if teacher != 3]
    np.testing.assert_allclose(evidence[keep], np.array(exact)[keep], atol=1e-5)


@pytest.mark.parametrize("teachers", [5, MOST_EXACT, MOST_EXACT + 1, 30])
def test_who_is_alone_against_all_others_is_one(teachers: int) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for question in range(15 * teachers):
        pair = rng.choice(teachers, 2, replace=False)
        rows += [(int(teacher), question, -1.0 if teacher == 0 else 1.0) for teacher in pair]
    evidence = found(rows, teachers)
    assert evidence[0] > math.log(200)
    assert evidence[1:].max() < 0


def test_two_alone_cannot_be_told_apart() -> None:
    rows = [(teacher, question, side) for question in range(100) for teacher, side in ((0, 1.0), (1, -1.0))]
    evidence = found(rows, 2)
    assert evidence[0] == pytest.approx(evidence[1])
    assert evidence[0] <= math.log((1 - ADVERSARIES) / ADVERSARIES) + 1e-9
    assert found(rows, 2, {1})[0] > math.log(1e6)


def test_a_third_answer_counts_as_one() -> None:
    """Who errs once against two who agree errs once, not twice."""
    against_two = found([(0, 0, 1.0), (1, 0, -1.0), (2, 0, -1.0)], 3, {1, 2})[0]
    right_for_certain = math.log(ACCURACY / (1 - ACCURACY))
    assert 0 < against_two < right_for_certain


def test_nobody_is_suspected_without_answers() -> None:
    assert found(drawn(0, 3, 4), 4)[3] == pytest.approx(0.0, abs=1e-12)
