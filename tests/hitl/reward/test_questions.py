import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.reward.questions.choosing import choose_pairs
from hitl.reward.questions.schedule import QuestionSchedule
from hitl.reward.questions.strategies import STRATEGIES, disagreement

SEGMENTS = 12
RETURN_KS = 2 * torch.randn(4, SEGMENTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
HELDOUT_S = np.arange(SEGMENTS) % 3 == 0


def _choose(
    *, count: int = 4, candidates: int = 200, strategy: str = "disagreement", seed: int = 0
) -> list[tuple[int, int, float]]:
    chosen = choose_pairs(
        return_KS=RETURN_KS,
        heldout_S=HELDOUT_S,
        count=count,
        candidates=candidates,
        strategy=STRATEGIES[strategy],
        rng=np.random.default_rng(seed),
    )
    return [(pair.first, pair.second, pair.value) for pair in chosen]


def _disagreement(first: int, second: int) -> float:
    """The variance over members of sigma(return of the first - return of the second)."""
    wins = [1 / (1 + math.exp(float(b) - float(a))) for a, b in RETURN_KS[:, [first, second]]]
    mean = sum(wins) / len(wins)
    return sum((p - mean) ** 2 for p in wins) / len(wins)


def test_disagreement_is_the_variance_of_the_members_predictions() -> None:
    pairs = [(a, b) for a in range(SEGMENTS) for b in range(SEGMENTS)]
    margin = torch.stack([RETURN_KS[:, a] - RETURN_KS[:, b] for a, b in pairs], 1)
    value = disagreement(margin, np.random.default_rng(0))
    assert value.tolist() == pytest.approx([_disagreement(a, b) for a, b in pairs])
    assert value[0] == 0


def test_the_value_of_a_question_is_that_of_its_pair() -> None:
    for first, second, value in _choose():
        assert value == pytest.approx(_disagreement(first, second))


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_no_segment_is_asked_about_twice_and_the_best_comes_first(strategy: str) -> None:
    for seed in range(20):
        chosen = _choose(strategy=strategy, seed=seed)
        used = [index for first, second, _ in chosen for index in (first, second)]
        assert len(chosen) == 4
        assert len(set(used)) == len(used)
        values = [value for _, _, value in chosen]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_pair_never_mixes_held_out_and_training_segments(strategy: str) -> None:
    kinds = set()
    for seed in range(20):
        for first, second, _ in _choose(strategy=strategy, seed=seed):
            assert HELDOUT_S[first] == HELDOUT_S[second]
            kinds.add(bool(HELDOUT_S[first]))
    assert kinds == {True, False}


def test_among_enough_candidates_the_most_disputed_pair_is_found() -> None:
    pairs = [(a, b) for a in range(SEGMENTS) for b in range(a) if HELDOUT_S[a] == HELDOUT_S[b]]
    first, second, _ = _choose(candidates=5000)[0]
    assert (max(first, second), min(first, second)) == max(pairs, key=lambda pair: _disagreement(*pair))


def test_too_few_segments_give_fewer_questions() -> None:
    def choose(segments: int) -> int:
        chosen = choose_pairs(
            return_KS=RETURN_KS[:, :segments],
            heldout_S=np.zeros(segments, bool),
            count=5,
            candidates=300,
            strategy=_all_alike,
            rng=np.random.default_rng(0),
        )
        return len(chosen)

    assert [choose(segments) for segments in (0, 1, 2, 4)] == [0, 0, 1, 2]
    assert len(_choose(count=50, candidates=2000)) <= SEGMENTS // 2


def _all_alike(margin_KC: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros(margin_KC.shape[1])


SCHEDULE = QuestionSchedule(
    budget=100, initial=20, initial_env_steps=1000, per_round=10, round_env_steps=500, max_open=15
)


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
