"""Segments that could be asked about, as choosing sees them.

Axis suffixes: K member, S segment, F feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Segment
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.questions.looking import features_of, predicted_returns
from policies.splits import is_heldout


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """Segments that could be asked about, and what the model expects of them."""

    return_KS: Tensor
    """Each member's predicted return, in link units."""
    log_tie: Tensor | float
    """Logarithm of the tie propensity."""
    lapse: float
    """Chance that an answer is given at random."""
    heldout_S: NDArray[np.bool_]
    """Only judges the model."""
    steps_S: NDArray[np.int64]
    version_S: NDArray[np.int64]
    """Of the policy that played it."""
    look: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    """Returns where the segments at these places lie, [S, F]; in the units of what the model reads."""

    @property
    def kind_S(self) -> NDArray[np.int64]:
        """A number for each kind; only segments of one kind make a pair: of one length, held out both or neither."""
        _, length_S = np.unique(self.steps_S, return_inverse=True)
        return 2 * length_S.astype(np.int64) + self.heldout_S

    def discounts(self, half_life_versions: float | None) -> NDArray[np.float64]:
        """Return what a segment's age leaves of a question's value, [S].

        A question of two segments is discounted by the geometric mean of theirs, for which each has the root.
        """
        if half_life_versions is None or not len(self.version_S):
            return np.ones(len(self.version_S))
        age_S = self.version_S.max() - self.version_S
        discount_S: NDArray[np.float64] = 0.5 ** (age_S / (2 * half_life_versions))
        return discount_S


@torch.no_grad()
def prospects_of(
    ensemble: RewardEnsemble, segments: Sequence[Segment], *, lapse: float, heldout_share: float
) -> Prospects:
    """Look at segments with the model as it is.

    Args:
        ensemble: the model.
        segments: that could be asked about.
        lapse: chance that an answer is given at random.
        heldout_share: of the segments, which only judge.
    """
    return Prospects(
        return_KS=predicted_returns(ensemble, segments),
        log_tie=ensemble.log_tie.detach().cpu(),
        lapse=lapse,
        heldout_S=np.array([is_heldout(s.segment_id, heldout_share) for s in segments], bool),
        steps_S=np.array([len(s) for s in segments], np.int64),
        version_S=np.array([s.policy_version for s in segments], np.int64),
        look=lambda rows_S: features_of(ensemble, [segments[row] for row in rows_S]),
    )
