"""Every estimator against its paper, in plain loops, and at every edge of an episode."""

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from policies.advantages import (
    Advantages,
    Rows,
    gae,
    n_step,
    over_duration,
    reward_to_go,
    standardise,
    to_unit_scale,
    total_return,
    vtrace,
)
from policies.advantages.rows import summed_backwards
from policies.batch import make_batch
from policies.networks import ActorCritic
from policies.settings import EstimatorName, UpdateSettings
from policies.steps import steps_on
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, made_up_rollout

T, N = 7, 5
DISCOUNT, LAMBDA, STEPS = 0.93, 0.8, 3
RHO_BAR, C_BAR = 1.3, 0.9
TERMINATED, TRUNCATED, OVERRIDDEN = (2, 0), (3, 1), (4, 3)
LOG_RATIO_TN = 0.5 * torch.randn(T, N, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def _rows() -> Rows:
    """Column 0 terminates at 2, 1 is truncated at 3, 2 is whole, 3 is overridden at 4, 4 ends in the last row.

    Each row has a gamma of its own, as rows of some duration have.
    """
    generator = torch.Generator().manual_seed(3)
    reward, value, next_value = torch.randn(3, T, N, generator=generator, dtype=torch.float64)
    terminated, cut = torch.zeros(T, N, dtype=torch.bool), torch.zeros(T, N, dtype=torch.bool)
    terminated[TERMINATED] = terminated[T - 1, 4] = True
    for place in (TERMINATED, TRUNCATED, OVERRIDDEN, (T - 1, 4)):
        cut[place] = True
    inside = ~cut[:-1]
    next_value[:-1][inside] = value[1:][inside]
    discount = torch.linspace(0.9, 0.99, T * N, dtype=torch.float64).view(T, N)
    return Rows(reward, value, next_value, terminated, cut, discount)


class At:
    """One row of one column as plain numbers."""

    def __init__(self, rows: Rows, t: int, n: int) -> None:
        self.reward, self.value, self.next_value, self.terminated, cut, self.discount = (
            part[t, n].item() for part in rows
        )
        self.cut = bool(cut)
        self.last = self.cut or t == T - 1
        self.bootstrap = 0.0 if self.terminated else self.next_value
        self.delta = self.reward + self.discount * self.bootstrap - self.value


def _gae_by_the_paper(rows: Rows, s: int, n: int) -> tuple[float, float, float]:
    """Equation 16: sum over l of (gamma lambda)^l delta, to the end of the fragment."""
    total, carry = 0.0, 1.0
    for t in range(s, T):
        row = At(rows, t, n)
        total += carry * row.delta
        carry *= row.discount * LAMBDA
        if row.cut:
            break
    value = At(rows, s, n).value
    return total, total + value, total + value


def _n_step_by_the_paper(rows: Rows, s: int, n: int, most: int = STEPS) -> tuple[float, float, float]:
    """Mnih et al., section 4: sum over i < k of gamma^i r, plus gamma^k V, with k at most `most`."""
    total, discount = 0.0, 1.0
    for t in range(s, min(s + most, T)):
        row = At(rows, t, n)
        total += discount * row.reward
        discount *= row.discount
        if row.last or t == s + most - 1:
            total += discount * row.bootstrap
            break
    return total - At(rows, s, n).value, total, total


def _to_go_by_the_paper(rows: Rows, s: int, n: int) -> tuple[float, float, float]:
    return _n_step_by_the_paper(rows, s, n, most=T)


def _total_by_the_paper(rows: Rows, s: int, n: int) -> tuple[float, float, float]:
    """The return of the piece that the row is in, from its first row on."""
    first = s
    while first > 0 and not At(rows, first - 1, n).cut:
        first -= 1
    advantage, whole, _ = _to_go_by_the_paper(rows, first, n)
    return advantage, _to_go_by_the_paper(rows, s, n)[1], whole


def _vtrace_target_by_the_paper(rows: Rows, s: int, n: int) -> float:
    """Equation 1 with remark 2: V + sum over t of gamma^(t-s) (prod c_i) rho_t delta_t."""
    total, trace = At(rows, s, n).value, 1.0
    for t in range(s, T):
        row, ratio = At(rows, t, n), math.exp(LOG_RATIO_TN[t, n].item())
        total += trace * min(RHO_BAR, ratio) * row.delta
        trace *= row.discount * LAMBDA * min(C_BAR, ratio)
        if row.cut:
            break
    return total


def _vtrace_by_the_paper(rows: Rows, s: int, n: int) -> tuple[float, float, float]:
    """Section 4.2: r + gamma v(next) - V, without rho."""
    row = At(rows, s, n)
    following = row.bootstrap if row.last else _vtrace_target_by_the_paper(rows, s + 1, n)
    q = row.reward + row.discount * following
    return q - row.value, _vtrace_target_by_the_paper(rows, s, n), q


ESTIMATORS: dict[
    EstimatorName, tuple[Callable[[Rows], Advantages], Callable[[Rows, int, int], tuple[float, ...]]]
]
ESTIMATORS = {
    "gae": (lambda rows: gae(rows, gae_lambda=LAMBDA), _gae_by_the_paper),
    "n_step": (lambda rows: n_step(rows, n=STEPS), _n_step_by_the_paper),
    "vtrace": (
        lambda rows: vtrace(
            rows, log_ratio_TN=LOG_RATIO_TN, trace_lambda=LAMBDA, rho_bar=RHO_BAR, c_bar=C_BAR
        ),
        _vtrace_by_the_paper,
    ),
    "reward_to_go": (reward_to_go, _to_go_by_the_paper),
    "total_return": (total_return, _total_by_the_paper),
}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


@each_estimator
def test_estimates_are_those_of_the_paper(name: EstimatorName) -> None:
    rows = _rows()
    fast, slow = ESTIMATORS[name]
    expected = torch.tensor([[slow(rows, t, n) for n in range(N)] for t in range(T)], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(fast(rows), -1), expected, rtol=0, atol=1e-12)


@each_estimator
@pytest.mark.parametrize(
    ("place", "bootstraps"),
    [(TERMINATED, False), (TRUNCATED, True), (OVERRIDDEN, True), ((T - 1, 2), True), ((T - 1, 4), False)],
    ids=["terminated", "truncated", "overridden", "end of rollout", "terminated at the end of rollout"],
)
def test_an_edge_bootstraps_unless_it_is_terminal(
    name: EstimatorName, place: tuple[int, int], bootstraps: bool
) -> None:
    rows = _rows()
    following = rows.next_value_TN[place] if bootstraps else 0.0
    expected = rows.reward_TN[place] + rows.discount_TN[place] * following
    if name == "vtrace":
        expected = rows.value_TN[place] + LOG_RATIO_TN[place].exp().clamp(max=RHO_BAR) * (
            expected - rows.value_TN[place]
        )
    assert ESTIMATORS[name][0](rows).target_TN[place].item() == pytest.approx(float(expected))


@each_estimator
def test_nothing_leaks_across_an_edge(name: EstimatorName) -> None:
    rows, estimate = _rows(), ESTIMATORS[name][0]
    before = estimate(rows)
    rows.reward_TN[5:] += 100.0
    rows.value_TN[5:] -= 50.0
    after = estimate(rows)
    for column, edge in ((0, 3), (1, 4), (3, 5)):
        for part in range(3):
            torch.testing.assert_close(after[part][:edge, column], before[part][:edge, column])
    assert not torch.allclose(after.target_TN[:5, 2], before.target_TN[:5, 2])
    assert not torch.allclose(after.target_TN[3:5, 0], before.target_TN[3:5, 0])


def _settings(name: EstimatorName) -> UpdateSettings:
    return UpdateSettings(
        advantages=name,
        discount=DISCOUNT,
        gae_lambda=LAMBDA,
        n_step=STEPS,
        normalise_advantages=False,
        clip=0.2,
        epochs=1,
        minibatch_size=8,
        value_coefficient=0.5,
        entropy_coefficient=0.0,
        max_gradient_norm=0.5,
        popart_rate=1e-6,
    )


@each_estimator
def test_a_truncated_step_is_bootstrapped_from_its_own_last_observation(name: EstimatorName) -> None:
    """Peers bootstrap from the observation after the reset, or lose the value of an edge altogether."""
    torch.manual_seed(0)
    network, (t, n) = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,)), TRUNCATED

    def batch(observation_TNO: np.ndarray, final_KO: np.ndarray) -> tuple[Tensor, Tensor]:
        rollout = made_up_rollout(observation_TNO=observation_TNO, final_observation_KO=final_KO)
        reward = torch.from_numpy(rollout.environment_reward_TN)
        steps, own = steps_on(torch.device("cpu"), rollout), copy.deepcopy(network)
        made = make_batch(own, rollout, steps, reward, _settings(name))
        target = made.target_B * own.value_std + own.value_mean
        return made.advantage_B.view(-1, COLUMNS)[: t + 1, n], target.view(-1, COLUMNS)[: t + 1, n]

    rollout = made_up_rollout()
    after_reset, own_last = rollout.observation_TNO.copy(), rollout.final_observation_KO.copy()
    after_reset[t + 1, n] += 1.0
    own_last[rollout.final_index_K.tolist().index(t * COLUMNS + n)] += 1.0
    before = batch(rollout.observation_TNO, rollout.final_observation_KO)
    for was, now in zip(before, batch(after_reset, rollout.final_observation_KO), strict=True):
        torch.testing.assert_close(now, was, rtol=0, atol=1e-5)
    for was, now in zip(before, batch(rollout.observation_TNO, own_last), strict=True):
        assert abs(now[-1] - was[-1]) > 1e-2


def test_with_lambda_1_the_target_is_the_discounted_return() -> None:
    rows = _rows()
    rows.discount_TN[:] = DISCOUNT
    expected = sum(DISCOUNT**t * float(reward) for t, reward in enumerate(rows.reward_TN[:3, 0]))
    assert float(gae(rows, gae_lambda=1.0).target_TN[0, 0]) == pytest.approx(expected)


def test_on_policy_v_trace_learns_the_lambda_return() -> None:
    rows = _rows()
    own = {"log_ratio_TN": torch.zeros(T, N, dtype=torch.float64), "rho_bar": 1.0, "c_bar": 1.0}
    for trace_lambda in (0.0, LAMBDA, 1.0):
        expected = gae(rows, gae_lambda=trace_lambda)
        torch.testing.assert_close(
            vtrace(rows, trace_lambda=trace_lambda, **own).target_TN, expected.target_TN
        )
    torch.testing.assert_close(vtrace(rows, trace_lambda=1.0, **own).advantage_TN, expected.advantage_TN)


def test_n_steps_go_from_one_temporal_difference_to_the_whole_piece() -> None:
    rows = _rows()
    torch.testing.assert_close(n_step(rows, n=1), gae(rows, gae_lambda=0.0))
    torch.testing.assert_close(n_step(rows, n=10 * T), reward_to_go(rows))


@pytest.mark.parametrize("gamma", [DISCOUNT, 1.0])
@pytest.mark.parametrize("name", ["gae", "vtrace", "reward_to_go", "total_return"])
def test_a_row_of_some_duration_is_worth_as_many_rows(name: EstimatorName, gamma: float) -> None:
    """Row by row against the compressed one: the same advantage before it and the same target of it."""
    estimate: Callable[[Rows], Advantages] = {
        "gae": lambda rows: gae(rows, gae_lambda=1.0),
        "vtrace": lambda rows: vtrace(
            rows, log_ratio_TN=torch.zeros_like(rows.reward_TN), trace_lambda=1.0, rho_bar=1.0, c_bar=1.0
        ),
        "reward_to_go": reward_to_go,
        "total_return": total_return,
    }[name]
    reward, value = torch.full((9, 1), 0.7, dtype=torch.float64), torch.randn(10, 1, dtype=torch.float64)
    uncut = torch.zeros(9, 1, dtype=torch.bool)
    whole = estimate(Rows(reward, value[:9], value[1:], uncut, uncut, torch.full_like(reward, gamma)))
    durations = torch.tensor([[1], [1], [7]])
    earned, discount = over_duration(reward_TN=reward[:3], duration_TN=durations, discount=gamma)
    short = estimate(Rows(earned, value[:3], value[[1, 2, 9]], uncut[:3], uncut[:3], discount))
    for compressed, row_by_row in zip(short, whole, strict=True):
        torch.testing.assert_close(compressed, row_by_row[:3])


def test_standardised_values_have_weighted_mean_0_and_deviation_1() -> None:
    values = torch.tensor([3.0, -1.0, 8.0, 1000.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    standard = standardise(values, weight=weight)
    assert float((standard * weight).sum()) == pytest.approx(0)
    assert float((standard**2 * weight).sum() / 3) == pytest.approx(1)
    moved = standardise(torch.tensor([3.0, -1.0, 8.0, -5.0], dtype=torch.float64), weight=weight)
    torch.testing.assert_close(moved[:3], standard[:3])


def test_values_of_unit_scale_keep_their_signs_and_ratios() -> None:
    values = torch.tensor([3.0, -1.0, 8.0, 1000.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    scaled = to_unit_scale(values, weight=weight)
    assert float((scaled**2 * weight).sum() / 3) == pytest.approx(1)
    torch.testing.assert_close(scaled / scaled[0], values / values[0])


def test_nothing_that_counts_gives_finite_numbers() -> None:
    assert standardise(torch.ones(3), weight=torch.zeros(3)).isfinite().all()
    assert torch.equal(standardise(torch.full((3,), 2.0), weight=torch.ones(3)), torch.zeros(3))


def test_without_a_baseline_no_mean_is_taken_off() -> None:
    """The counter-assertion: with one it is."""
    rollout = made_up_rollout(environment_reward_TN=np.full((8, COLUMNS), 5.0, np.float32))
    settings = dataclasses.replace(_settings("gae"), normalise_advantages=True)

    def weighing(*, subtracts_baseline: bool) -> Tensor:
        network, steps = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE), steps_on(torch.device("cpu"), rollout)
        reward = torch.from_numpy(rollout.environment_reward_TN)
        return make_batch(
            network, rollout, steps, reward, settings, subtracts_baseline=subtracts_baseline
        ).advantage_B

    assert (weighing(subtracts_baseline=False) > 0).all()
    assert (weighing(subtracts_baseline=True) < 0).any()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 13])
def test_the_recursion_backwards_is_that_of_a_loop(rows: int) -> None:
    part_TN, carry_TN = torch.rand(2, rows, 3, generator=torch.Generator().manual_seed(5)).double()
    before = part_TN.clone()
    expected, following_N = torch.empty_like(part_TN), torch.zeros(3).double()
    for t in reversed(range(rows)):
        expected[t] = following_N = part_TN[t] + carry_TN[t] * following_N
    torch.testing.assert_close(summed_backwards(part_TN, carry_TN), expected, rtol=1e-12, atol=0)
    assert torch.equal(part_TN, before)
