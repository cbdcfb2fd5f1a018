"""When questions are due."""

import dataclasses
import math
from typing import Any

import pytest

from hitl.reward.questions.schedule import QuestionSchedule

SCHEDULE = QuestionSchedule(
    budget=100, initial=20, initial_env_steps=1000, per_round=10, round_env_steps=500, max_open=15
)
RATES = {
    "hyperbolic": lambda t: 1 / (1 + t),
    "inverse_quadratic": lambda t: 1 / (1 + t * t),
    "exponential": lambda t: 0.5**t,
}


@pytest.mark.parametrize(
    ("env_steps", "last", "asked", "open_questions", "due"),
    [
        (999, None, 0, 0, 0),
        (1000, None, 0, 0, 20),
        (1000, None, 12, 12, 8),
        (1499, 1000, 20, 0, 0),
        (1500, 1000, 20, 0, 10),
        (1500, None, 20, 0, 10),
        (1500, 1000, 20, 15, 0),
        (1500, 1000, 20, 16, 0),
        (1500, 1000, 20, 9, 6),
        (9000, 1000, 96, 0, 4),
        (9000, 1000, 100, 0, 0),
        (9000, 1000, 120, 0, 0),
    ],
    ids=[
        "too little experience",
        "first round",
        "rest of the first round",
        "too soon",
        "next round",
        "next round after a restart",
        "teachers do not keep up",
        "more open than allowed",
        "teachers nearly do not keep up",
        "end of the budget",
        "nothing left",
        "more asked than the budget",
    ],
)
def test_questions_are_due(
    env_steps: int, last: int | None, asked: int, open_questions: int, due: int
) -> None:
    assert due == SCHEDULE.due(
        env_steps=env_steps, last_round_env_steps=last, asked=asked, open_questions=open_questions
    )


def _asked(
    name: Any, *, half: int, until: int, every: int = 100, budget: int = 10**6
) -> list[tuple[int, int]]:
    """Rounds of a run whose questions are answered at once: environment steps and questions."""
    schedule = dataclasses.replace(SCHEDULE, schedule=name, half_env_steps=half, budget=budget)
    rounds: list[tuple[int, int]] = []
    for env_steps in range(0, until + 1, every):
        due = schedule.due(
            env_steps=env_steps,
            last_round_env_steps=rounds[-1][0] if rounds else None,
            asked=sum(count for _, count in rounds),
            open_questions=0,
        )
        if due:
            rounds.append((env_steps, due))
    return rounds


def _area(rate: Any, end: float, slices: int = 20_000) -> float:
    """The integral of the rate by the trapezoidal rule."""
    points = [rate(end * i / slices) for i in range(slices + 1)]
    return (sum(points) - (points[0] + points[-1]) / 2) * end / slices


@pytest.mark.parametrize("name", list(RATES))
def test_as_many_are_asked_as_the_rate_says(name: Any) -> None:
    half = 7000
    rounds = _asked(name, half=half, until=60_000)
    assert rounds[0] == (1000, 20)
    for env_steps in (8000, 20_000, 60_000):
        asked = sum(count for at, count in rounds[1:] if at <= env_steps)
        wanted = 10 / 500 * half * _area(RATES[name], (env_steps - 1000) / half)
        # What is not whole yet, and what the round under way will ask.
        assert wanted - 11 <= asked <= wanted + 1e-6
    sizes = [count for _, count in rounds[1:]]
    assert max(sizes) <= 10
    assert sum(sizes[:5]) > sum(sizes[-5:])


@pytest.mark.parametrize("name", list(RATES))
def test_after_half_env_steps_rounds_have_half_their_size(name: Any) -> None:
    rounds = dict(_asked(name, half=50_000, until=60_000))
    near = [rounds.get(at, 0) for at in range(49_000, 53_001, 500)]
    assert sum(near) / len(near) == pytest.approx(5.0, abs=0.3)


@pytest.mark.parametrize("name", list(RATES))
def test_who_has_not_asked_for_long_asks_one_round(name: Any) -> None:
    schedule = dataclasses.replace(SCHEDULE, schedule=name, half_env_steps=50_000)
    assert schedule.due(env_steps=50_000, last_round_env_steps=1000, asked=20, open_questions=0) == 10
    assert schedule.due(env_steps=50_000, last_round_env_steps=None, asked=20, open_questions=0) == 10


def test_rounds_of_less_than_one_question_come_less_often() -> None:
    rounds = _asked("exponential", half=1000, until=30_000)
    assert [count for _, count in rounds[-3:]] == [1, 1, 1]
    assert rounds[-1][0] - rounds[-2][0] > 500
    total = sum(count for _, count in rounds[1:])
    assert total == math.floor(10 / 500 * 1000 / math.log(2))


def test_a_constant_schedule_knows_no_half() -> None:
    assert _asked("constant", half=1, until=4000) == [
        (1000, 20),
        *((at, 10) for at in range(1500, 4001, 500)),
    ]


def test_the_budget_bounds_every_schedule() -> None:
    for name in ("constant", *RATES):
        assert sum(count for _, count in _asked(name, half=50_000, until=60_000, budget=60)) == 60
