"""Against the ordinal logistic model in plain loops."""

import math

import numpy as np
import pytest
import torch

from hitl.reward.likelihoods.ratings import rating_log_likelihood

CUTS = [-math.inf, -1.5, -0.2, 0.1, 2.0, math.inf]


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _ordinal(latent: float, rating: int, *, scale: float, lapse: float) -> float:
    """Section 2: the cumulative probabilities are logistic in cut point minus latent."""
    upper, lower = (
        _logistic(scale * (cut - latent)) if math.isfinite(cut) else float(cut > 0)
        for cut in (CUTS[rating], CUTS[rating - 1])
    )
    return (1 - lapse) * (upper - lower) + lapse / 5


def _ours(latent: float, rating: int, *, scale: float, lapse: float) -> float:
    value = rating_log_likelihood(
        latent_KB=torch.tensor([[latent]], dtype=torch.float64),
        lower_B=torch.tensor([CUTS[rating - 1]], dtype=torch.float64),
        upper_B=torch.tensor([CUTS[rating]], dtype=torch.float64),
        scale=scale,
        points=5,
        lapse=lapse,
    )
    return float(value)


def test_every_rating_is_as_likely_as_in_plain_loops_and_all_exhaust_what_can_happen() -> None:
    rng = np.random.default_rng(0)
    for latent, scale, lapse in rng.uniform([-4, 0.1, 0.0], [4, 3, 0.4], (40, 3)).tolist():
        found = [math.exp(_ours(latent, rating, scale=scale, lapse=lapse)) for rating in range(1, 6)]
        expected = [_ordinal(latent, rating, scale=scale, lapse=lapse) for rating in range(1, 6)]
        assert found == pytest.approx(expected, rel=1e-9)
        assert sum(found) == pytest.approx(1)
    for rating in range(1, 6):
        assert math.exp(_ours(0.3, rating, scale=1.0, lapse=0)) == pytest.approx(
            _ordinal(0.3, rating, scale=1.0, lapse=0)
        )


def test_what_is_absurd_costs_no_more_than_a_lapse_and_has_a_gradient_all_the_same() -> None:
    assert _ours(500.0, 1, scale=1.0, lapse=0.1) == pytest.approx(math.log(0.1 / 5))
    far = torch.tensor([[500.0, -500.0]], dtype=torch.float64, requires_grad=True)
    lower, upper = torch.tensor([-math.inf, -0.2]).double(), torch.tensor([-1.5, 0.1]).double()
    rating_log_likelihood(
        latent_KB=far, lower_B=lower, upper_B=upper, scale=1.0, points=5, lapse=0.0
    ).sum().backward()  # type: ignore[no-untyped-call]
    assert far.grad is not None
    assert far.grad.tolist() == [[pytest.approx(-1.0), pytest.approx(1.0)]]


def test_the_gradient_is_that_of_small_differences() -> None:
    latent = torch.linspace(-3, 3, 10, dtype=torch.float64).view(2, 5).requires_grad_()
    scale = torch.tensor([0.5, 1.0, 2.0, 1.0, 0.3], dtype=torch.float64, requires_grad=True)
    lower, upper = torch.tensor(CUTS[:-1]).double(), torch.tensor(CUTS[1:]).double()

    def found(latent_KB: torch.Tensor, scale_B: torch.Tensor) -> torch.Tensor:
        return rating_log_likelihood(
            latent_KB=latent_KB, lower_B=lower, upper_B=upper, scale=scale_B, points=5, lapse=0.1
        )

    assert torch.autograd.gradcheck(found, (latent, scale))
