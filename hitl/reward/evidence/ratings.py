"""Ratings as evidence: how good is this segment, from 1 to so many points?

Axis suffixes: K member, B rating, E rating that counts.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Abstention, Event, Rating
from hitl.reward.evidence.cut_points import cut_points, interval
from hitl.reward.evidence.judgements import JudgementExamples, Judgements
from hitl.reward.evidence.segments import returns_of
from hitl.reward.likelihoods.ratings import rating_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble

_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class RatingLikelihood:
    """An ordinal model with each teacher's cut points; see `hitl.reward.likelihoods.ratings`."""

    has_contrary: ClassVar[bool] = False

    lapse: float

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return the return of each segment to each member, in log-odds, [K, B]."""
        log_odds_KB: Tensor = ensemble.links["ratings"](returns_of(ensemble, *inputs)[..., 0])
        return log_odds_KB

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; what is said are the cut points around the rating, and how many points there are."""
        lower_B, upper_B, points_B = said_B.unbind(-1)
        return rating_log_likelihood(
            latent_KB=prediction_KB,
            lower_B=lower_B,
            upper_B=upper_B,
            scale=rationality_B,
            points=points_B,
            lapse=self.lapse,
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; right is who expects the very rating."""
        lower_B, upper_B, _ = said_B.unbind(-1)
        right_B = (lower_B < prediction_B) & (prediction_B <= upper_B)
        return right_B, torch.ones_like(right_B)


class RatingExamples:
    """The ratings that count, between cut points that follow from the model as it is."""

    def __init__(
        self, read: JudgementExamples, ensemble: RewardEnsemble, likelihood: RatingLikelihood
    ) -> None:
        self._read = read
        self.heldout_E, self.block_E, self.teacher_E = read.heldout_E, read.block_E, read.teacher_E
        self.bootstrap_KE, self.arrival_E = read.bootstrap_KE, read.arrival_E
        rows_E = torch.arange(len(self.heldout_E), device=self.bootstrap_KE.device)
        latent_E, said_EX = _latents(read, ensemble, likelihood, rows_E)
        self._said_E3 = self._between(latent_E, said_EX).to(rows_E.device)

    def _between(self, latent_E: NDArray[np.float64], said_E2: NDArray[np.int64]) -> Tensor:
        """Return the cut points around each rating, and how many points there are, [E, 3]."""
        around_E3 = np.zeros((len(latent_E), 3))
        for points in np.unique(said_E2[:, 1]):
            (these,) = np.nonzero(said_E2[:, 1] == points)
            ids, teacher_E = np.unique(self.teacher_E[these], return_inverse=True)
            training = these[~self.heldout_E[these]]
            # What is held out says nothing of where cut points are.
            cut_TJ = cut_points(
                latent_E[training],
                said_E2[training, 0],
                np.searchsorted(ids, self.teacher_E[training]),
                points=int(points),
                teachers=len(ids),
            )
            for row, teacher in zip(these, teacher_E, strict=True):
                around_E3[row] = *interval(cut_TJ[teacher], int(said_E2[row, 0])), points
        return torch.from_numpy(around_E3).to(torch.get_default_dtype())

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """See `Examples`; what is said is [B, 3], as `RatingLikelihood` takes it."""
        *told, _ = self._read.of(rows_B)
        return *told, self._said_E3[rows_B]


@torch.no_grad()
def _latents(
    read: JudgementExamples, ensemble: RewardEnsemble, likelihood: RatingLikelihood, rows_E: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the members' mean of what the segments are worth, [E], and what was said of them, [E, 2]."""
    latents, said = [], []
    for rows in torch.split(rows_E, _TOGETHER):
        *told, said_B = read.of(rows)
        latents.append(likelihood.predict(ensemble, *told).mean(0))
        said.append(said_B)
    return torch.cat(latents).double().cpu().numpy(), torch.cat(said).cpu().numpy()


class Ratings(Judgements):
    """The ratings that count."""

    name = "ratings"
    likelihood: RatingLikelihood

    def said(self, event: Event | None) -> NDArray[Any] | None:
        """See `Judgements`: the rating and how many points there are, [2]."""
        if not isinstance(event, Rating) or isinstance(event.rating, Abstention):
            return None
        return np.array([event.rating, event.points], np.int64)

    def examples(self, ensemble: RewardEnsemble) -> RatingExamples | None:  # type: ignore[override]
        """See `Evidence`."""
        read = super().examples(ensemble)
        return None if read is None else RatingExamples(read, ensemble, self.likelihood)
