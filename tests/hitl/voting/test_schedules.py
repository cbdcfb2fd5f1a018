"""Which policies are compared next."""

from functools import partial
from statistics import fmean

import numpy as np
import pytest

from benchmarks.duels import BUNDLES, answers_needed
from hitl.voting.double_thompson import (
    ALPHA,
    confidence_bounds,
    double_thompson,
    first_candidates,
    second_candidates,
)
from hitl.voting.round_robin import round_robin
from hitl.voting.schedules import SCHEDULES
from tests.hitl.voting import oracles


def _wins(seed: int, policies: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wins_IJ: np.ndarray = rng.integers(0, 9, size=(policies, policies)) * rng.integers(
        0, 2, (policies, policies)
    )
    np.fill_diagonal(wins_IJ, 0)
    return wins_IJ.astype(np.float64)


def _thetas(rng: np.random.Generator, policies: int = 4) -> np.ndarray:
    upper = np.triu(rng.choice([0.2, 0.4, 0.6, 0.8], size=(policies, policies)), 1)
    theta_IJ: np.ndarray = upper + np.tril(1.0 - upper.T, -1)
    np.fill_diagonal(theta_IJ, 0.5)
    return theta_IJ


@pytest.mark.parametrize("seed", range(30))
def test_double_thompson_chooses_as_in_the_paper(seed: int) -> None:
    rng, wins_IJ = np.random.default_rng(seed), _wins(seed)
    upper_IJ, lower_IJ = confidence_bounds(wins_IJ)
    # The paper counts time from 1: so many questions are answered, and one more.
    upper, lower = oracles.bounds(wins_IJ, alpha=ALPHA, t=int(wins_IJ.sum()) + 1)
    np.testing.assert_allclose(upper_IJ, upper)
    np.testing.assert_allclose(lower_IJ, lower)
    theta_IJ = _thetas(rng)
    assert first_candidates(upper_IJ, theta_IJ).tolist() == oracles.first_candidates(upper, theta_IJ)
    for first in range(4):
        chosen = second_candidates(lower_IJ[:, first], theta_IJ[:, first], first)
        assert chosen.tolist() == oracles.second_candidates(lower, theta_IJ, first)


def test_whoever_may_not_win_is_not_compared_first() -> None:
    # 0 is known to lose to 1 and 2, though a draw of the posterior may flatter it.
    wins_IJ = np.array([[0, 5, 5], [195, 0, 3], [195, 3, 0]], np.float64)
    rng, asked_IJ = np.random.default_rng(0), np.zeros((3, 3), np.int64)
    pairs = [double_thompson(wins_IJ, asked_IJ, rng) for _ in range(200)]
    assert {first for first, _ in pairs} == {1, 2}
    assert {second for _, second in pairs} <= {1, 2}


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_different_policies_are_compared_and_ties_are_broken_by_chance(name: str) -> None:
    rng, nothing = np.random.default_rng(0), np.zeros((3, 3))
    schedule = SCHEDULES[name]  # type: ignore[index]
    pairs = [frozenset(schedule(nothing, nothing.astype(np.int64), rng)) for _ in range(300)]
    counts = [pairs.count(frozenset(pair)) for pair in ((0, 1), (0, 2), (1, 2))]
    assert sum(counts) == 300
    assert min(counts) > 60


def test_who_is_compared_first_is_no_matter_of_numbers() -> None:
    rng, nothing = np.random.default_rng(0), np.zeros((3, 3))
    firsts = [double_thompson(nothing, nothing.astype(np.int64), rng)[0] for _ in range(600)]
    assert max(map(firsts.count, range(3))) < 250


def test_whoever_is_known_to_lose_to_all_is_compared_with_whoever_a_draw_prefers() -> None:
    lower_I, drawn_I = np.array([0.5, 0.6, 0.7]), np.array([0.5, 0.8, 0.7])
    assert second_candidates(lower_I, drawn_I, 0).tolist() == [1]
    assert oracles.second_candidates(
        [[0.5] * 3, [0.6] * 3, [0.7] * 3], [[0.5] * 3, [0.8] * 3, [0.7] * 3], 0
    ) == [1]


def test_round_robin_asks_about_every_pair_as_often() -> None:
    rng, asked_IJ = np.random.default_rng(0), np.zeros((4, 4), np.int64)
    for _ in range(6 * 5):
        one, other = round_robin(np.zeros((4, 4)), asked_IJ, rng)
        asked_IJ[one, other] += 1
        asked_IJ[other, one] += 1
    assert asked_IJ[np.triu_indices(4, 1)].tolist() == [5] * 6


@pytest.mark.parametrize("bundle", ["ranked", "cyclic"])
def test_double_thompson_needs_fewer_answers_than_round_robin(bundle: str) -> None:
    needed = partial(answers_needed, confidence=0.95, budget=300)
    found = {}
    for name, schedule in SCHEDULES.items():
        matrices = [BUNDLES[bundle](5, np.random.default_rng([7, number])) for number in range(8)]
        outcomes = [needed(matrix, schedule, seed=number) for number, matrix in enumerate(matrices)]
        found[name] = fmean(answers for answers, _ in outcomes)
        assert sum(is_right for _, is_right in outcomes) >= 6
    assert found["double_thompson"] < 0.8 * found["round_robin"]
