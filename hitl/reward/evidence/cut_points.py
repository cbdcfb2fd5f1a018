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
_SLOPE_STD = 1.0
_FAR = 1e6
"""In the place of infinity, which has no slope."""
_OWN_STD = 0.5
"""Of a teacher's own around the common ones: with few ratings a teacher is taken for one like the others."""


def cut_points(
    latent_E: Reals, rating_E: NDArray[np.int64], teacher_E: NDArray[np.int64], *, points: int, teachers: int
) -> Reals:
    """Find the cut points that explain the ratings best, given the latent of each.

    The first cut point and the logarithms of the distances between neighbours have normal priors: those of all around
    equal shares of a logistic distribution, a teacher's own around those of all. So cut points never cross, and who
    has rated little has nearly those of all. How sharp a teacher is, the slope, is found with them: cut points of one
    who is taken for another's would lie elsewhere.

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
    alike = np.concatenate([[0.0], _shape_of(np.log(shares_J / (1 - shares_J)))])
    common = _fitted(latent_E, rating_E, alike, _COMMON_STD)
    own = [
        _fitted(latent_E[teacher_E == teacher], rating_E[teacher_E == teacher], common, _OWN_STD)
        for teacher in range(teachers)
    ]
    return np.stack([_cuts_of(shape[1:]) for shape in own])


def interval(cut_J: Reals, rating: int) -> tuple[float, float]:
    """Return the cut points below and above a rating; infinite at the ends."""
    wide = (-np.inf, *cut_J.tolist(), np.inf)
    return wide[rating - 1], wide[rating]


def _shape_of(cut_J: Reals) -> Reals:
    return np.concatenate([cut_J[:1], np.log(np.diff(cut_J))])


def _cuts_of(shape_J: Reals) -> Reals:
    return np.cumsum(np.concatenate([shape_J[:1], np.exp(shape_J[1:])]))


def _fitted(latent_E: Reals, rating_E: NDArray[np.int64], prior: Reals, std: float) -> Reals:
    """Return the logarithm of the slope, and the shape of the cut points."""
    if not len(latent_E):
        return prior
    stds = np.array([_SLOPE_STD, *[std] * (len(prior) - 1)])
    found = minimize(_loss, prior, (latent_E, rating_E, prior, stds), jac=True, method="L-BFGS-B")
    fitted: Reals = found.x
    return fitted


def _loss(
    given: Reals, latent_E: Reals, rating_E: NDArray[np.int64], prior: Reals, stds: Reals
) -> tuple[float, Reals]:
    """Return minus the log-posterior, and its gradient."""
    slope, shape_J = np.exp(given[0]), given[1:]
    wide = np.concatenate([[-_FAR], _cuts_of(shape_J), [_FAR]])
    above_E = slope * (latent_E - wide[rating_E - 1])
    below_E = slope * (wide[rating_E] - latent_E)
    # Not the sum of the two, which is 0 of cut points that are close together: the search looks at some.
    width_E = slope * np.concatenate([[_FAR], np.exp(shape_J[1:]), [_FAR]])[rating_E - 1]
    loss = -(log_expit(above_E) + log_expit(below_E) + np.log(-np.expm1(-width_E))).sum()
    # The derivative of log(1 - exp(-w)) is exp(-w) / (1 - exp(-w)): 0 at the far ends.
    opening_E = np.exp(-width_E) / -np.expm1(-width_E)
    lower_E, upper_E = expit(-above_E) + opening_E, expit(-below_E) + opening_E
    by_slope = -(lower_E * above_E + upper_E * below_E).sum()
    count = len(wide)
    by_cut = slope * (
        np.bincount(rating_E - 1, weights=lower_E, minlength=count)
        - np.bincount(rating_E, weights=upper_E, minlength=count)
    )
    # A later cut point moves with each distance before it.
    after_J = np.cumsum(by_cut[1:-1][::-1])[::-1]
    by_shape_J = after_J * np.concatenate([[1.0], np.exp(shape_J[1:])])
    z = (given - prior) / stds
    return float(loss + 0.5 * (z**2).sum()), np.concatenate([[by_slope], by_shape_J]) + z / stds
