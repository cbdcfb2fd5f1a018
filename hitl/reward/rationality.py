"""How much each teacher looks at the reward in what they say, found from what the model expects of them.

Axis suffixes: K member, E piece of evidence, T teacher, G point of a grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp
from torch import Tensor

from hitl.reward.evidence.evidence import Likelihood
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import TeacherSettings

Reals = NDArray[np.float64]

_LOG_KNOTS = np.linspace(np.log(1 / 64), np.log(16), 57)
"""Logarithms of the rationalities that are looked at; those of who says the contrary are as large."""
_LOG_GRID_G = np.linspace(_LOG_KNOTS[0], _LOG_KNOTS[-1], 8 * (len(_LOG_KNOTS) - 1) + 1)
"""What lies between is smooth: of who has said much, only a small part of what two knots hold is likely."""
_WITHIN = 0.95
_DRAWS = 1000
_UPSIDE_DOWN = 4.0
"""A model is turned over where that is so many times as likely; where nobody has a majority, it stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rationality:
    """A teacher's in one kind of feedback, relative to the mean piece of evidence of that kind."""

    pieces: int
    """That were looked at."""
    mean: float
    """Below 0 of who says the contrary."""
    low: float
    high: float
    """Of the 95 % interval of the posterior."""
    weight: float
    """The mean, capped: what the fit takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How likely what teachers said in one kind of feedback is, at each rationality that they may have."""

    number_T: NDArray[np.int64]
    pieces_T: NDArray[np.int64]
    grid_G: Reals
    """In order; symmetric around 0 where the kind has a contrary."""
    log_prior_G: Reals
    log_likelihood_TG: Reals

    @property
    def has_contrary(self) -> bool:
        """Whether a rationality may be negative."""
        return bool(self.grid_G[0] < 0)

    @property
    def log_joint_TG(self) -> Reals:
        """Of what was said and the rationality: the posterior's logarithm, up to a constant of each teacher."""
        return self.log_likelihood_TG + self.log_prior_G


@torch.no_grad()
def heard(
    ensemble: RewardEnsemble,
    likelihood: Likelihood,
    prediction_KE: Tensor,
    said_E: Tensor,
    *,
    unseen_KE: Tensor,
    teacher_E: NDArray[np.int64],
    block_E: NDArray[np.int64],
    settings: TeacherSettings,
) -> Heard:
    """Return how likely what was said is, given what the members expect.

    A member judges only pieces that it was not fitted to, for it has learnt the others by heart: those that its
    bootstrap left out, and what is held out. How far members differ is how far the model may be from what is true: its
    own error is not taken for noise of the teachers, least of all of those who err least. The prior of the logarithm is
    normal around 0, so who has said little is taken for one like the others. Pieces of one block count as one. Where a
    kind has a contrary, the rationality may be negative, which most teachers' is not thought to be.

    Sources: out-of-bag estimates: Breiman 1996, "Out-of-bag estimation"; the model's error beside the noise: Heskes
    1997, "Practical confidence and prediction intervals"; a rationality for each teacher:
    Daniels-Koch and Freedman 2022, "The expertise problem", arXiv:2211.06519, and for each kind of feedback: Ghosal,
    Zurek, Brown and Dragan 2023, "The effect of modeling human rationality level on learning rewards from multiple
    feedback types", arXiv:2208.10687; teachers who say the contrary: Chen, Bennett, Collins-Thompson and Horvitz 2013,
    "Pairwise ranking aggregation in a crowdsourced setting", section 3 (a share of right answers below a half).

    Args:
        ensemble: the model.
        likelihood: of the kind.
        prediction_KE: of the members, by `Likelihood.predict`.
        said_E: what was said.
        unseen_KE: bool, which members were not fitted to which pieces.
        teacher_E: who said it.
        block_E: of each piece.
        settings: the priors.
    """
    number_T, teacher_E = np.unique(teacher_E, return_inverse=True)
    contrary = settings.contrary if likelihood.has_contrary else 0.0
    grid_G, log_prior_G = _grid(settings, contrary=contrary)

    around_KE = _around_unseen(prediction_KE, unseen_KE)

    def at(rationality: float) -> Reals:
        everyone_E = torch.full(said_E.shape[:1], rationality, device=said_E.device)
        found_KE = likelihood.log_likelihood(ensemble, around_KE, said_E, everyone_E)
        mean_E = (found_KE.logsumexp(0) - np.log(len(found_KE))).masked_fill(~unseen_KE.any(0), 0.0)
        told_E: Reals = mean_E.double().cpu().numpy()
        return np.bincount(teacher_E, weights=told_E, minlength=len(number_T)).astype(np.float64)

    def of_sign(sign: float) -> Reals:
        at_knots = [at(rationality) for rationality in (sign * np.exp(_LOG_KNOTS)).tolist()]
        between: Reals = CubicSpline(_LOG_KNOTS, np.stack(at_knots, 1), axis=1)(_LOG_GRID_G)
        return between

    log_likelihood_TG = np.hstack([of_sign(-1.0)[:, ::-1], of_sign(1.0)]) if contrary else of_sign(1.0)
    pieces_T = np.bincount(teacher_E, minlength=len(number_T))
    pairs = np.unique(np.stack([teacher_E, block_E]), axis=1)
    witnesses_T = np.bincount(pairs[0], minlength=len(number_T))
    return Heard(
        number_T=number_T,
        pieces_T=pieces_T,
        grid_G=grid_G,
        log_prior_G=log_prior_G,
        log_likelihood_TG=log_likelihood_TG * (witnesses_T / pieces_T)[:, None],
    )


def turned_over(kinds: Mapping[str, Heard]) -> dict[str, Heard]:
    """Return what was heard, by kind, with the model turned over if it is upside down.

    Where all kinds have a contrary, what was said is as likely if the model orders all the wrong way round and all
    teachers are turned round. So a model that has once taken the many for the contrary would do so for ever. Which of
    the two it is, what is believed of teachers before says. A kind without a contrary keeps it the right way up.

    Source, of modes that a likelihood cannot tell apart: Stephens 2000, "Dealing with label switching in mixture
    models".
    """
    if not all(one.has_contrary for one in kinds.values()):
        return dict(kinds)
    over = {
        name: replace(one, log_likelihood_TG=one.log_likelihood_TG[:, ::-1]) for name, one in kinds.items()
    }
    log_odds = sum(map(_log_evidence, over.values())) - sum(map(_log_evidence, kinds.values()))
    return over if log_odds > np.log(_UPSIDE_DOWN) else dict(kinds)


def rationalities(said: Heard, settings: TeacherSettings) -> dict[int, Rationality]:
    """Return the posterior of each teacher's rationality, by the teacher's number; its weight has the settings' cap.

    Intervals are of what a teacher is beside the others, who are not known for certain either.
    """
    posterior_TG = np.exp(said.log_joint_TG - logsumexp(said.log_joint_TG, 1, keepdims=True))
    mean_T = posterior_TG @ said.grid_G
    share_T = said.pieces_T / said.pieces_T.sum()
    of_all = float(share_T @ np.abs(mean_T))
    drawn_TD = _drawn(posterior_TG, said.grid_G)
    tails = ((1 - _WITHIN) / 2, (1 + _WITHIN) / 2)
    low_T, high_T = np.quantile(drawn_TD / (share_T @ np.abs(drawn_TD)), tails, axis=1)
    most = settings.most_weight
    return {
        int(number): Rationality(
            pieces=int(pieces),
            mean=float(mean) / of_all,
            low=float(low),
            high=float(high),
            weight=min(max(float(mean) / of_all, -most), most),
        )
        for number, pieces, mean, low, high in zip(
            said.number_T, said.pieces_T, mean_T, low_T, high_T, strict=True
        )
    }


def _drawn(posterior_TG: Reals, grid_G: Reals) -> Reals:
    """Draw a rationality of each teacher from its posterior, time after time: one in each part as likely as any other.

    Source: McKay, Beckman and Conover 1979, "A comparison of three methods for selecting values of input variables"
    (Latin hypercube sampling).
    """
    rng = np.random.default_rng(0)
    place_TD = rng.permuted(np.tile((np.arange(_DRAWS) + 0.5) / _DRAWS, (len(posterior_TG), 1)), axis=1)
    # The probability of a point of the grid lies around it.
    below_TG = np.cumsum(posterior_TG, 1) - posterior_TG / 2
    return np.stack(
        [np.interp(place_D, below_G, grid_G) for place_D, below_G in zip(place_TD, below_TG, strict=True)]
    )


def _log_evidence(said: Heard) -> float:
    return float(logsumexp(said.log_joint_TG, 1).sum())


def _grid(settings: TeacherSettings, *, contrary: float) -> tuple[Reals, Reals]:
    """Return the rationalities that are looked at, in order, and the logarithms of their prior, [G]."""
    log_prior_G = -0.5 * (_LOG_GRID_G / settings.spread) ** 2
    if not contrary:
        return np.exp(_LOG_GRID_G), log_prior_G
    grid_G = np.concatenate([-np.exp(_LOG_GRID_G[::-1]), np.exp(_LOG_GRID_G)])
    return grid_G, np.concatenate([log_prior_G[::-1] + np.log(contrary), log_prior_G + np.log1p(-contrary)])


def _around_unseen(prediction_KE: Tensor, unseen_KE: Tensor) -> Tensor:
    """Return the mean prediction of members that were not fitted to a piece, and around it how much members differ.

    That is how far the mean may be from what is true: by chance of what they were fitted to, which is that of the
    bootstrap, and by chance of the bootstrap itself, which is less the more members it is the mean of.
    """
    members, pieces = unseen_KE.shape
    shape = (pieces, *[1] * (prediction_KE.ndim - 2))
    count_E = unseen_KE.sum(0).clamp_min(1).reshape(shape)
    mean_E = (prediction_KE * unseen_KE.reshape(members, *shape)).sum(0) / count_E
    share_E = (1 + 1 / count_E) * members / max(members - 1, 1)
    return mean_E + (prediction_KE - prediction_KE.mean(0)) * share_E.sqrt()
