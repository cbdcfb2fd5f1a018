import math

import numpy as np
import pytest
import torch

from hitl.reward.likelihoods.choices import choice_log_likelihood
from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.likelihoods.signals import signal_log_likelihood

FIRST, SECOND, TIE = 0, 1, 2
CASES = [
    tuple(row) for row in np.random.default_rng(0).uniform([-8, -2, 0.01], [8, 2, 0.5], (40, 3)).tolist()
]


def _log_likelihood(margin: float, choice: int, *, log_tie: float, lapse: float) -> float:
    value = comparison_log_likelihood(
        margin_KP=torch.tensor([[margin]], dtype=torch.float64),
        choice_P=torch.tensor([choice]),
        log_tie=log_tie,
        lapse=lapse,
    )
    return float(value[0, 0])


def _davidson(margin: float, choice: int, *, log_tie: float, lapse: float) -> float:
    """Equation 2.4: with worths pi_i = exp(return_i) and propensity nu the tie has weight nu sqrt(pi_1 pi_2)."""
    first, second = math.exp(margin), 1.0
    tie = math.exp(log_tie) * math.sqrt(first * second)
    share = (first, second, tie)[choice] / (first + second + tie)
    return (1 - lapse) * share + lapse / 3


@pytest.mark.parametrize("choice", [FIRST, SECOND, TIE])
def test_it_is_davidsons_model_mixed_with_a_guess(choice: int) -> None:
    for margin, log_tie, lapse in CASES:
        expected = _davidson(margin, choice, log_tie=log_tie, lapse=lapse)
        assert _log_likelihood(margin, choice, log_tie=log_tie, lapse=lapse) == pytest.approx(
            math.log(expected)
        )
        expected = _davidson(margin, choice, log_tie=log_tie, lapse=0)
        assert _log_likelihood(margin, choice, log_tie=log_tie, lapse=0) == pytest.approx(math.log(expected))


def test_without_ties_it_is_the_logistic_function() -> None:
    for margin, _, _ in CASES:
        value = _log_likelihood(margin, FIRST, log_tie=-math.inf, lapse=0)
        assert value == pytest.approx(-math.log1p(math.exp(-margin)))


def test_the_three_answers_exhaust_what_can_happen() -> None:
    for margin, log_tie, lapse in CASES:
        shares = [math.exp(_log_likelihood(margin, c, log_tie=log_tie, lapse=lapse)) for c in range(3)]
        assert sum(shares) == pytest.approx(1)


def test_swapping_the_segments_swaps_the_answer() -> None:
    for margin, log_tie, lapse in CASES:
        settings = {"log_tie": log_tie, "lapse": lapse}
        one = _log_likelihood(margin, FIRST, **settings)
        assert one == pytest.approx(_log_likelihood(-margin, SECOND, **settings))
        assert one != pytest.approx(_log_likelihood(-margin, FIRST, **settings))
        tie = _log_likelihood(margin, TIE, **settings)
        assert tie == pytest.approx(_log_likelihood(-margin, TIE, **settings))


def test_an_absurd_answer_costs_no_more_than_a_lapse() -> None:
    value = _log_likelihood(-2000.0, FIRST, log_tie=0.0, lapse=0.1)
    assert value == pytest.approx(math.log(0.1 / 3))


def test_members_are_judged_by_the_same_answers() -> None:
    margin = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]], dtype=torch.float64)
    value = comparison_log_likelihood(
        margin_KP=margin, choice_P=torch.tensor([SECOND, TIE]), log_tie=torch.tensor(0.3), lapse=0.05
    )
    for member in range(3):
        for pair, choice in enumerate((SECOND, TIE)):
            expected = _log_likelihood(float(margin[member, pair]), choice, log_tie=0.3, lapse=0.05)
            assert float(value[member, pair]) == pytest.approx(expected)


def test_the_tie_propensity_is_learnt_with_the_rewards() -> None:
    margin = torch.tensor([[0.7]], requires_grad=True)
    log_tie = torch.tensor(0.0, requires_grad=True)
    comparison_log_likelihood(
        margin_KP=margin, choice_P=torch.tensor([TIE]), log_tie=log_tie, lapse=0.1
    ).sum().backward()
    assert log_tie.grad is not None
    assert margin.grad is not None
    assert float(log_tie.grad) > 0
    assert float(margin.grad) < 0


def test_a_signal_is_normal_around_what_the_steps_deserve() -> None:
    """As TAMER has it: the credited reward is a sum over steps; the density is written out."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        reward_KL, credit_L = rng.normal(0, 2, (3, 5)), rng.dirichlet(np.ones(5))
        value, scale, offset, noise = (
            rng.uniform(-1, 1),
            rng.uniform(0.1, 3),
            rng.normal(),
            rng.uniform(0.1, 2),
        )
        credited = torch.tensor(reward_KL @ credit_L)[:, None]
        found = signal_log_likelihood(
            credited_KS=credited,
            value_S=torch.tensor([value], dtype=torch.float64),
            scale=scale,
            offset=offset,
            noise=noise,
        )
        for member in range(3):
            mean = scale * sum(c * r for c, r in zip(credit_L, reward_KL[member], strict=True)) + offset
            density = math.exp(-((value - mean) ** 2) / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi))
            assert float(found[member, 0]) == pytest.approx(math.log(density), abs=1e-9)


def test_a_signals_likelihood_has_the_gradient_of_least_squares() -> None:
    credited = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    link = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (1.5, 0.1, 0.7)]
    value = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def total(*tensors: torch.Tensor) -> torch.Tensor:
        found, scale, offset, noise = tensors
        return signal_log_likelihood(
            credited_KS=found, value_S=value, scale=scale, offset=offset, noise=noise
        ).sum()

    assert torch.autograd.gradcheck(total, (credited, *link))
    (gradient,) = torch.autograd.grad(total(credited, *link), credited)
    residual = value - 1.5 * credited.detach() - 0.1
    torch.testing.assert_close(gradient, 1.5 * residual / 0.7**2)


def test_a_correction_is_a_boltzmann_rational_choice() -> None:
    """As Jeon et al. have it: the share of exp(beta r) of what was chosen in that of all that could be."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        reward_KSC, beta = rng.normal(0, 2, (3, 4, 5)), rng.uniform(0.1, 3)
        found = choice_log_likelihood(worth_KBC=torch.tensor(reward_KSC), rationality=beta)
        assert found.shape == (3, 4)
        for member in range(3):
            for state in range(4):
                worth = [math.exp(beta * float(reward)) for reward in reward_KSC[member, state]]
                expected = math.log(worth[0] / sum(worth))
                assert float(found[member, state]) == pytest.approx(expected, abs=1e-9)


def test_a_correction_says_nothing_of_how_good_the_state_is() -> None:
    reward = torch.randn(2, 3, 4, dtype=torch.float64)
    raised = reward + torch.randn(2, 3, 1, dtype=torch.float64)
    one, other = (choice_log_likelihood(worth_KBC=x, rationality=1.5) for x in (reward, raised))
    torch.testing.assert_close(one, other)


def test_a_corrections_likelihood_has_the_gradient_of_a_softmax() -> None:
    reward = torch.tensor([[[0.3, -0.2, 1.0]]], dtype=torch.float64, requires_grad=True)
    beta = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def total(rewards: torch.Tensor, rationality: torch.Tensor) -> torch.Tensor:
        return choice_log_likelihood(worth_KBC=rewards, rationality=rationality).sum()

    assert torch.autograd.gradcheck(total, (reward, beta))
    by_reward, by_beta = torch.autograd.grad(total(reward, beta), (reward, beta))
    worth = [math.exp(1.5 * x) for x in reward[0, 0].tolist()]
    share = [x / sum(worth) for x in worth]
    assert by_reward[0, 0].tolist() == pytest.approx([1.5 * ((c == 0) - share[c]) for c in range(3)])
    mean = sum(s * r for s, r in zip(share, reward[0, 0].tolist(), strict=True))
    assert float(by_beta) == pytest.approx(0.3 - mean)
