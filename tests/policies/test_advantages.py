import pytest
import torch
from torch import Tensor

from policies.advantages import gae, over_duration, standardise

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
    discount = torch.linspace(0.9, 0.99, T * N, dtype=torch.float64).view(T, N)
    return x | {"terminated_TN": terminated, "cut_TN": cut, "discount_TN": discount}


def _by_the_paper(x: dict[str, Tensor], s: int, n: int) -> float:
    """Equation 16: sum over l of (gamma lambda)^l (r + gamma V(next) - V), to the end of the fragment.

    Each row has a gamma of its own, so the power is a product.
    """
    total, carry = 0.0, 1.0
    for t in range(s, T):
        bootstrap = 0.0 if x["terminated_TN"][t, n] else float(x["next_value_TN"][t, n])
        discount = float(x["discount_TN"][t, n])
        delta = float(x["reward_TN"][t, n]) + discount * bootstrap - float(x["value_TN"][t, n])
        total += carry * delta
        carry *= discount * LAMBDA
        if x["cut_TN"][t, n]:
            break
    return total


def _gae(x: dict[str, Tensor], gae_lambda: float = LAMBDA) -> tuple[Tensor, Tensor]:
    return gae(**x, gae_lambda=gae_lambda)


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
    expected = x["reward_TN"][place] + x["discount_TN"][place] * bootstrap
    torch.testing.assert_close(_gae(x)[1][place], torch.as_tensor(expected, dtype=torch.float64))


def test_with_lambda_1_the_target_is_the_discounted_return() -> None:
    x = _inputs()
    x["discount_TN"][:] = DISCOUNT
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


def test_a_row_of_some_duration_is_worth_as_many_rows() -> None:
    """Row by row against the compressed one: the same advantage before it and the same target of it."""
    reward, value, final = 0.7, torch.randn(9, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)
    durations = torch.tensor([[1], [1], [7]])
    long = {"reward_TN": torch.full((9, 1), reward, dtype=torch.float64), "value_TN": value[:, None]}
    earned, discount = over_duration(
        reward_TN=long["reward_TN"][:3], duration_TN=durations, discount=DISCOUNT
    )
    whole = gae(
        **long,
        next_value_TN=torch.cat([value[1:], final[None]])[:, None],
        terminated_TN=torch.zeros(9, 1, dtype=torch.bool),
        cut_TN=torch.zeros(9, 1, dtype=torch.bool),
        discount_TN=torch.full((9, 1), DISCOUNT, dtype=torch.float64),
        gae_lambda=1.0,
    )
    short = gae(
        reward_TN=earned,
        value_TN=long["value_TN"][:3],
        next_value_TN=torch.stack([value[1], value[2], final])[:, None],
        terminated_TN=torch.zeros(3, 1, dtype=torch.bool),
        cut_TN=torch.zeros(3, 1, dtype=torch.bool),
        discount_TN=discount,
        gae_lambda=1.0,
    )
    torch.testing.assert_close(short.target_TN, whole.target_TN[:3])
    torch.testing.assert_close(short.advantage_TN, whole.advantage_TN[:3])


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
