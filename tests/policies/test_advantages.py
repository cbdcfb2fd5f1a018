import pytest
import torch
from torch import Tensor

from policies.advantages import gae, standardise

T, N = 7, 5
DISCOUNT, LAMBDA = 0.93, 0.8
TERMINATED, TRUNCATED, OVERRIDDEN = (2, 0), (3, 1), (4, 3)


def _inputs() -> dict[str, Tensor]:
    """Column 0 terminates at 2, 1 is truncated at 3, 2 is whole, 3 is overridden at 4, 4 ends in the last row."""
    generator = torch.Generator().manual_seed(3)
    x = {
        name: torch.randn(T, N, generator=generator, dtype=torch.float64)
        for name in ("reward_TN", "value_TN", "next_value_TN")
    }
    terminated, cut = torch.zeros(T, N, dtype=torch.bool), torch.zeros(T, N, dtype=torch.bool)
    terminated[TERMINATED] = terminated[T - 1, 4] = True
    for place in (TERMINATED, TRUNCATED, OVERRIDDEN, (T - 1, 4)):
        cut[place] = True
    inside = ~cut[:-1]
    x["next_value_TN"][:-1][inside] = x["value_TN"][1:][inside]
    return x | {"terminated_TN": terminated, "cut_TN": cut}


def _by_the_paper(x: dict[str, Tensor], s: int, n: int) -> float:
    """Equation 16: sum over l of (gamma lambda)^l (r + gamma V(next) - V), to the end of the fragment."""
    total = 0.0
    for t in range(s, T):
        bootstrap = 0.0 if x["terminated_TN"][t, n] else float(x["next_value_TN"][t, n])
        delta = float(x["reward_TN"][t, n]) + DISCOUNT * bootstrap - float(x["value_TN"][t, n])
        total += (DISCOUNT * LAMBDA) ** (t - s) * delta
        if x["cut_TN"][t, n]:
            break
    return total


def _gae(x: dict[str, Tensor], gae_lambda: float = LAMBDA) -> tuple[Tensor, Tensor]:
    return gae(**x, discount=DISCOUNT, gae_lambda=gae_lambda)


def test_advantages_are_those_of_the_paper() -> None:
    x = _inputs()
    expected = torch.tensor([[_by_the_paper(x, t, n) for n in range(N)] for t in range(T)])
    advantage, target = _gae(x)
    torch.testing.assert_close(advantage, expected.double())
    torch.testing.assert_close(target, expected.double() + x["value_TN"])


@pytest.mark.parametrize(
    ("place", "bootstraps"),
    [(TERMINATED, False), (TRUNCATED, True), (OVERRIDDEN, True), ((T - 1, 2), True), ((T - 1, 4), False)],
    ids=["terminated", "truncated", "overridden", "end of rollout", "terminated at the end of rollout"],
)
def test_an_edge_bootstraps_unless_it_is_terminal(place: tuple[int, int], bootstraps: bool) -> None:
    x = _inputs()
    bootstrap = x["next_value_TN"][place] if bootstraps else 0.0
    expected = x["reward_TN"][place] + DISCOUNT * bootstrap
    torch.testing.assert_close(_gae(x)[1][place], torch.as_tensor(expected, dtype=torch.float64))


def test_with_lambda_1_the_target_is_the_discounted_return() -> None:
    x = _inputs()
    rewards = x["reward_TN"][:3, 0]
    expected = sum(DISCOUNT**t * float(reward) for t, reward in enumerate(rewards))
    assert float(_gae(x, gae_lambda=1.0)[1][0, 0]) == pytest.approx(expected)


def test_nothing_leaks_across_an_edge() -> None:
    x = _inputs()
    before = _gae(x)
    x["reward_TN"][5:] += 100.0
    x["value_TN"][5:] -= 50.0
    after = _gae(x)
    for column, edge in ((0, 3), (1, 4), (3, 5)):
        torch.testing.assert_close(after[0][:edge, column], before[0][:edge, column])
        torch.testing.assert_close(after[1][:edge, column], before[1][:edge, column])
    assert not torch.allclose(after[0][:5, 2], before[0][:5, 2])
    assert not torch.allclose(after[0][3:5, 0], before[0][3:5, 0])


def test_standardised_values_have_weighted_mean_0_and_deviation_1() -> None:
    values = torch.tensor([3.0, -1.0, 8.0, 1000.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    standard = standardise(values, weight=weight)
    assert float((standard * weight).sum()) == pytest.approx(0)
    assert float((standard**2 * weight).sum() / 3) == pytest.approx(1)
    moved = standardise(torch.tensor([3.0, -1.0, 8.0, -5.0], dtype=torch.float64), weight=weight)
    torch.testing.assert_close(moved[:3], standard[:3])


def test_nothing_that_counts_gives_finite_numbers() -> None:
    assert standardise(torch.ones(3), weight=torch.zeros(3)).isfinite().all()
    assert torch.equal(standardise(torch.full((3,), 2.0), weight=torch.ones(3)), torch.zeros(3))
