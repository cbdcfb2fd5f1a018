"""Against Plackett-Luce with ties in plain loops, over every ranking there is."""

import itertools
import math

import numpy as np
import pytest
import torch

from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.likelihoods.rankings import ranking_log_likelihood, weak_orders

FIRST, SECOND, TIE = 0, 1, 2
PAIRS = {(1, 2): FIRST, (2, 1): SECOND, (1, 1): TIE}


def _rankings(segments: int) -> list[tuple[int, ...]]:
    """All dense ones."""
    tried = itertools.product(range(1, segments + 1), repeat=segments)
    return [ranks for ranks in tried if set(ranks) == set(range(1, max(ranks) + 1))]


def _weight(returns: list[float], chosen: tuple[int, ...], log_tie: float) -> float:
    mean = sum(returns[place] for place in chosen) / len(chosen)
    return math.exp(mean) * (math.exp(log_tie) ** (len(chosen) - 1) if len(chosen) > 1 else 1.0)


def _plackett_luce(returns: list[float], ranks: tuple[int, ...], *, log_tie: float, lapse: float) -> float:
    """Equation 3: the best set of what is left, among all its sets, until nothing is."""
    share, left = 1.0, [place for place, rank in enumerate(ranks) if rank]
    count = len(left)
    for stage in range(1, max(ranks) + 1):
        chosen = tuple(place for place in left if ranks[place] == stage)
        sets = [s for size in range(1, len(left) + 1) for s in itertools.combinations(left, size)]
        share *= _weight(returns, chosen, log_tie) / sum(_weight(returns, s, log_tie) for s in sets)
        left = [place for place in left if place not in chosen]
    return (1 - lapse) * share + lapse / len(_rankings(count))


def _ours(returns: list[float], ranks: tuple[int, ...], *, log_tie: float, lapse: float) -> float:
    value = ranking_log_likelihood(
        return_KBC=torch.tensor([[returns]], dtype=torch.float64),
        rank_BC=torch.tensor([ranks]),
        log_tie=log_tie,
        lapse=lapse,
    )
    return float(value[0, 0])


@pytest.mark.parametrize("segments", [1, 2, 3, 4])
def test_every_ranking_is_as_likely_as_in_plain_loops_and_all_exhaust_what_can_happen(segments: int) -> None:
    rng = np.random.default_rng(segments)
    for log_tie, lapse in ((-1.0, 0.1), (0.7, 0.0), (-math.inf, 0.3)):
        returns = rng.normal(0, 2, segments).tolist()
        found = {ranks: _ours(returns, ranks, log_tie=log_tie, lapse=lapse) for ranks in _rankings(segments)}
        for ranks, value in found.items():
            expected = _plackett_luce(returns, ranks, log_tie=log_tie, lapse=lapse)
            assert math.exp(value) == pytest.approx(expected, rel=1e-9)
        assert sum(map(math.exp, found.values())) == pytest.approx(1)


def test_two_segments_are_compared_as_a_pair() -> None:
    for margin in (-3.0, 0.0, 1.3):
        for ranks, choice in PAIRS.items():
            pair = comparison_log_likelihood(
                margin_KP=torch.tensor([[margin]], dtype=torch.float64),
                choice_P=torch.tensor([choice]),
                log_tie=-0.4,
                lapse=0.1,
            )
            ours = _ours([margin + 1.0, 1.0], ranks, log_tie=-0.4, lapse=0.1)
            assert ours == pytest.approx(float(pair), rel=1e-9)


def test_places_without_a_segment_change_nothing() -> None:
    for ranks in ((2, 1, 1), (1, 2, 3), (3, 1, 2)):
        alone = _ours([0.3, -1.0, 2.0], ranks, log_tie=0.2, lapse=0.1)
        assert _ours([0.3, -1.0, 2.0, 9.0], (*ranks, 0), log_tie=0.2, lapse=0.1) == pytest.approx(alone)


def test_so_many_rankings_there_are() -> None:
    assert [weak_orders(n) for n in range(6)] == [len(_rankings(n)) if n else 1 for n in range(6)]


def test_the_gradient_is_that_of_small_differences_and_never_undefined() -> None:
    ranks = torch.tensor([[1, 2, 2, 0], [3, 1, 2, 4], [1, 1, 1, 1], [1, 0, 0, 0]])
    rng = torch.Generator().manual_seed(0)
    returns = torch.randn(2, 4, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    log_tie = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)

    def found(return_KBC: torch.Tensor, tie: torch.Tensor) -> torch.Tensor:
        return ranking_log_likelihood(return_KBC=return_KBC, rank_BC=ranks, log_tie=tie, lapse=0.05)

    assert torch.autograd.gradcheck(found, (returns, log_tie))
    found(returns, log_tie).sum().backward()  # type: ignore[no-untyped-call]
    assert returns.grad is not None
    assert torch.isfinite(returns.grad).all()
