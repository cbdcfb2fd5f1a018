import math

import numpy as np
import pytest
from scipy.optimize import check_grad

from hitl.reward.evidence import cut_points as module
from hitl.reward.evidence.cut_points import cut_points, interval

CUTS = np.array([-2.0, -0.5, 0.2, 1.5])


def _rated(count: int, cuts: np.ndarray, seed: int, sharp: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 2, count)
    return latent, 1 + (latent[:, None] + rng.logistic(size=(count, 1)) / sharp > cuts).sum(1)


def test_a_sharp_teacher_and_a_vague_one_with_the_same_cut_points_have_the_same() -> None:
    told = [_rated(4000, CUTS, seed, sharp) for seed, sharp in enumerate((3.0, 0.4))]
    latent, rating = (np.concatenate(part) for part in zip(*told, strict=True))
    found = cut_points(latent, rating, np.repeat([0, 1], 4000), points=5, teachers=2)
    np.testing.assert_allclose(found, [CUTS, CUTS], atol=0.3)


def test_the_cut_points_of_a_teacher_are_recovered_from_many_ratings() -> None:
    shifted = CUTS + 1.0
    told = [_rated(3000, cuts, seed) for seed, cuts in enumerate((CUTS, shifted))]
    latent, rating = (np.concatenate(part) for part in zip(*told, strict=True))
    found = cut_points(latent, rating, np.repeat([0, 1], 3000), points=5, teachers=2)
    np.testing.assert_allclose(found, [CUTS, shifted], atol=0.25)


def test_who_has_rated_little_has_nearly_the_cut_points_of_all() -> None:
    latent, rating = _rated(2000, CUTS, 0)
    strict, none = 1, 2
    teacher = np.concatenate([np.zeros(2000, np.int64), [strict] * 3])
    found = cut_points(
        np.append(latent, [0.0, 0.5, 1.0]), np.append(rating, [1, 1, 1]), teacher, points=5, teachers=3
    )
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[none], found[0], atol=0.1)
    assert 0.1 < found[strict, 0] - found[0, 0] < 1.5


def test_before_anything_is_known_ratings_are_used_alike() -> None:
    shares = np.array([1, 2, 3]) / 4
    found = cut_points(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), points=4, teachers=1)
    np.testing.assert_allclose(found[0], np.log(shares / (1 - shares)))


def test_a_rating_lies_between_its_cut_points() -> None:
    assert interval(CUTS, 1) == (-math.inf, -2.0)
    assert interval(CUTS, 3) == (-0.5, 0.2)
    assert interval(CUTS, 5) == (1.5, math.inf)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_small_differences(seed: int) -> None:
    latent, rating = _rated(50, CUTS, seed)
    prior = np.random.default_rng(seed).normal(0, 0.5, 5)
    arguments = (latent, rating, np.zeros(5), np.array([1.0, 0.5, 0.5, 0.5, 0.5]))
    error = check_grad(
        lambda shape: module._loss(shape, *arguments)[0], lambda s: module._loss(s, *arguments)[1], prior
    )
    assert error < 1e-4


def test_the_search_may_look_at_cut_points_that_are_close_together() -> None:
    latent, rating = _rated(50, CUTS, 0)
    arguments = (latent, rating, np.zeros(5), np.ones(5))
    loss, gradient = module._loss(np.array([0.0, 0.0, 0.0, -40.0, 0.0]), *arguments)
    between = int((rating == 4 - 1).sum())
    apart, _ = module._loss(np.array([0.0, 0.0, 0.0, -30.0, 0.0]), *arguments)
    # The prior apart, each rating between the two is e times as unlikely where they are e times as close.
    assert loss - 0.5 * 40**2 - (apart - 0.5 * 30**2) == pytest.approx(10 * between)
    assert np.isfinite(gradient).all()
