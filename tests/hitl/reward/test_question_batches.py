"""Questions that are asked together, and which few stand for many."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from hitl.reward.questions.batch import Batch
from hitl.reward.questions.distances import medoids, pair_distances, typical_distance
from tests.hitl.reward.prospects import choose, prospects

RNG = np.random.default_rng(0)
PAIRS = RNG.standard_normal((7, 2, 3))


def _apart(one: Any, other: Any) -> float:
    """Each segment to the one that it is matched with, the first to the first or to the second."""
    straight = sum((x - y) ** 2 for a, b in zip(one, other, strict=True) for x, y in zip(a, b, strict=True))
    turned = sum(
        (x - y) ** 2
        for a, b in zip(one, reversed(list(other)), strict=True)
        for x, y in zip(a, b, strict=True)
    )
    return math.sqrt(min(straight, turned))


def test_questions_are_as_far_apart_as_their_segments() -> None:
    others = RNG.standard_normal((4, 2, 3))
    distance_PQ = pair_distances(PAIRS, others)
    for p, q in itertools.product(range(7), range(4)):
        assert distance_PQ[p, q] == pytest.approx(_apart(PAIRS[p], others[q]))


def test_which_segment_comes_first_makes_no_other_question() -> None:
    assert np.diag(pair_distances(PAIRS, PAIRS[:, ::-1])).tolist() == [0.0] * 7
    moved = PAIRS + 5.0
    assert pair_distances(PAIRS[:1], moved[:1])[0, 0] == pytest.approx(5.0 * math.sqrt(6))


def test_the_typical_distance_is_the_median() -> None:
    apart = [_apart(one, other) for one, other in itertools.combinations(PAIRS, 2)]
    assert typical_distance(PAIRS) == pytest.approx(float(np.median(apart)))
    assert typical_distance(PAIRS[:1]) == 0.0


def _medoids(distance: Any, count: int, clash: Any, free: Any) -> list[int]:
    """Add whichever makes the sum of distances to the nearest chosen one least."""
    chosen: list[int] = []
    while len(chosen) < count:
        costs = {
            m: sum(min(distance[b][c] for c in [*chosen, m]) for b in range(len(distance)))
            for m in range(len(distance))
            if free[m] and m not in chosen and not any(clash[m][c] for c in chosen)
        }
        if not costs:
            return chosen
        chosen.append(min(costs, key=lambda m: costs[m]))
    return chosen


@pytest.mark.parametrize("seed", range(8))
def test_medoids_stand_for_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    place = rng.standard_normal((12, 2))
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    clash = rng.random((12, 12)) < 0.2
    clash |= clash.T
    free = rng.random(12) < 0.8
    for count in (0, 1, 4, 12):
        assert medoids(distance, count, clash_BB=clash, free_B=free) == _medoids(distance, count, clash, free)


def test_of_three_heaps_each_gives_one() -> None:
    heaps = np.repeat(np.array([0.0, 10.0, 30.0]), [6, 3, 2]) + RNG.normal(0, 0.1, 11)
    distance = abs(heaps[:, None] - heaps[None])
    found = medoids(distance, 3, clash_BB=np.zeros((11, 11), bool), free_B=np.ones(11, bool))
    assert sorted(round(heaps[place] / 10) for place in found) == [0, 1, 3]


def _batch(place_S: Any, **options: Any) -> Batch:
    return Batch(lambda rows: np.asarray(place_S, float)[rows, None], **({"least_distance": 0.1} | options))


def test_a_question_nearly_like_another_is_not_added() -> None:
    place_S = [0.0, 10.0, 0.2, 10.2, 5.0, 10.1, 9.9, 0.3, 3.0]
    pairs = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 4]])
    batch = _batch(place_S)
    batch.see(pairs)
    # The usual distance is about 5, so what is within 0.5 is nearly the same, either way round.
    assert [batch.add(pair) for pair in pairs] == [True, False, True, False, False]
    everything = _batch(place_S, least_distance=0.0)
    everything.see(pairs)
    assert [everything.add(pair) for pair in pairs] == [True, True, True, True, False]


def test_what_stands_for_others_goes_with_what_is_chosen() -> None:
    place_S = RNG.standard_normal(40)
    pairs = RNG.permutation(40).reshape(20, 2)
    pairs[1] = [pairs[0, 1], pairs[2, 0]]
    place_S[pairs[3]] = place_S[pairs[0]] + 1e-3
    batch = _batch(place_S)
    batch.see(pairs)
    assert batch.add(pairs[0])
    found = batch.representatives(pairs, 20)
    assert {0, 1, 3}.isdisjoint(found)
    assert len(found) > 5
    assert all(batch.add(pairs[place]) for place in found)


@pytest.mark.parametrize("strategy", ["disagreement", "random", "diverse", "information_gain"])
def test_no_round_has_two_questions_nearly_alike(strategy: Any) -> None:
    """Every segment comes four times, as those do that show the same rest of an episode."""
    rng = np.random.default_rng(1)
    place_SF = np.repeat(rng.standard_normal((10, 3)), 4, 0) + 1e-3 * rng.standard_normal((40, 3))
    return_KS = np.repeat(rng.standard_normal((4, 10)), 4, 1)
    given = prospects(
        40,
        look=lambda rows: place_SF[rows],
        return_KS=torch.from_numpy(return_KS),
        heldout_S=np.zeros(40, bool),
    )
    repeated = 0
    for seed in range(10):
        for least in (0.05, 0.0):
            pairs = choose(given, strategy, seed=seed, count=8, candidates=400, least_distance=least).pairs
            assert len(pairs) == 8
            kinds = [frozenset((pair.first // 4, pair.second // 4)) for pair in pairs]
            if least:
                assert len(set(kinds)) == 8
            else:
                repeated += len(set(kinds)) < 8
    assert repeated > 0 or strategy == "diverse"


def test_strategies_of_a_round_ask_nothing_twice_either() -> None:
    place_SF = np.repeat(np.random.default_rng(1).standard_normal((8, 3)), 3, 0)
    given = prospects(24, look=lambda rows: place_SF[rows], heldout_S=np.zeros(24, bool))
    shares: Any = {"diverse": 1.0, "disagreement": 1.0, "random": 1.0}
    for seed in range(10):
        pairs = choose(given, shares=shares, seed=seed, count=9, candidates=300, least_distance=0.05).pairs
        assert len({frozenset((pair.first // 3, pair.second // 3)) for pair in pairs}) == len(pairs) > 6


def test_diverse_questions_are_worth_asking_and_stand_for_others() -> None:
    """Among the ten times as many most valuable ones, the pairs are nearer to all than the most valuable are."""
    given = prospects(200, seed=3)
    diverse = choose(given, "diverse", count=5, candidates=500).pairs
    best = choose(given, "information_gain", count=50, candidates=500).pairs
    least = choose(given, "information_gain", count=100, candidates=500).pairs[-1].value

    def spread(pairs: Any) -> float:
        place = given.look(np.array([[pair.first, pair.second] for pair in pairs]).ravel()).reshape(-1, 2, 3)
        every = given.look(np.array([[pair.first, pair.second] for pair in best]).ravel()).reshape(-1, 2, 3)
        return float(pair_distances(every, place).min(1).mean())

    assert all(pair.value > least for pair in diverse)
    assert spread(diverse) < spread(best[:5])
