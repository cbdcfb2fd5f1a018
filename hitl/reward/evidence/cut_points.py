"""Where each teacher's ratings begin and end, found from what they have rated.

Axis suffixes: E rating, J cut point, T teacher.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Reals = NDArray[np.float64]

_COMMON_STD = 2.0
"""Of the common cut points around those of ratings that are used alike: hardly any prior."""
_OWN_STD = 0.5
"""Of a teacher's own around the common ones: with few ratings a teacher is taken for one like the others."""


def cut_points(
    latent_E: Reals, rating_E: NDArray[np.int64], teacher_E: NDArray[np.int64], *, points: int, teachers: int
) -> Reals:
    """Find the cut points that explain the ratings best, given the latent of each.

    The first cut point and the logarithms of the distances between neighbours have normal priors: those of all around
    equal shares of a logistic distribution, a teacher's own around those of all. So cut points never cross, and who
    has rated little has nearly those of all.

    Source: McCullagh 1980, "Regression models for ordinal data", section 2; by maximum a posteriori.

    Args:
        latent_E: in log-odds.
        rating_E: from 1 to `points`.
        teacher_E: number of each one's teacher.
        points: ratings there are, at least 2.
        teachers: there are.

    Returns:
        [T, J] with J = points - 1, each row growing.
    """
    shares_J = np.arange(1, points) / points
    common = _fitted(latent_E, rating_E, _shape_of(np.log(shares_J / (1 - shares_J))), _COMMON_STD)
    own = [
        _fitted(latent_E[teacher_E == teacher], rating_E[teacher_E == teacher], common, _OWN_STD)
        for teacher in range(teachers)
    ]
    return np.stack([_cuts_of(shape) for shape in own])


def interval(cut_J: Reals, rating: int) -> tuple[float, float]:
    """Return the cut points below and above a rating; infinite at the ends."""
    wide = (-np.inf, *cut_J.tolist(), np.inf)
    return wide[rating - 1], wide[rating]


def _shape_of(cut_J: Reals) -> Reals:
    return np.concatenate([cut_J[:1], np.log(np.diff(cut_J))])


def _cuts_of(shape_J: Reals) -> Reals:
    return np.cumsum(np.concatenate([shape_J[:1], np.exp(shape_J[1:])]))


def _fitted(latent_E: Reals, rating_E: NDArray[np.int64], prior_J: Reals, std: float) -> Reals:
    if not len(latent_E):
        return prior_J
    found = minimize(_loss, prior_J, (latent_E, rating_E, prior_J, std), jac=True, method="L-BFGS-B")
    shape_J: Reals = found.x
    return shape_J


def _loss(
    shape_J: Reals, latent_E: Reals, rating_E: NDArray[np.int64], prior_J: Reals, std: float
) -> tuple[float, Reals]:
    """Return minus the log-posterior, and its gradient."""
    cut_J = _cuts_of(shape_J)
    wide = np.concatenate([[-np.inf], cut_J, [np.inf]])
    above_E, below_E = latent_E - wide[rating_E - 1], wide[rating_E] - latent_E
    width_E = above_E + below_E
    loss = -(log_expit(above_E) + log_expit(below_E) + np.log(-np.expm1(-width_E))).sum()
    # The derivative of log(-expm1(-w)) is 1 / expm1(w): 0 at the open ends.
    opening_E = 1 / np.expm1(width_E)
    count = len(cut_J) + 2
    slope = np.bincount(rating_E - 1, weights=expit(-above_E) + opening_E, minlength=count)
    slope -= np.bincount(rating_E, weights=expit(-below_E) + opening_E, minlength=count)
    # A later cut point moves with each distance before it.
    after_J = np.cumsum(slope[1:-1][::-1])[::-1]
    gradient_J = after_J * np.concatenate([[1.0], np.exp(shape_J[1:])])
    z_J = (shape_J - prior_J) / std
    return float(loss + 0.5 * (z_J**2).sum()), gradient_J + z_J / std
