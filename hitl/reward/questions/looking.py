"""What the model says of segments, and where they lie among what it reads.

Axis suffixes: K member, S segment, L step of a segment, O observation, A action, F feature.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Segment
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.questions.candidates import stack

_SEGMENTS_TOGETHER = 1024
_WITH_IMAGES_TOGETHER = 16
"""That are looked at at once."""


@torch.no_grad()
def predicted_returns(ensemble: RewardEnsemble, segments: Sequence[Segment]) -> Tensor:
    """Return each member's sum of rewards of each segment, in link units, [K, S]; on the CPU.

    Segments may have different lengths.
    """
    return_KS = torch.empty(ensemble.members, len(segments))
    for rows_S, observation_SLO, action_SLA in _stacked(ensemble, segments, _SEGMENTS_TOGETHER):
        return_KS[:, rows_S] = ensemble.raw(observation_SLO, action_SLA).sum(-1).cpu()
    return return_KS


@torch.no_grad()
def features_of(ensemble: RewardEnsemble, segments: Sequence[Segment]) -> NDArray[np.float64]:
    """Return where segments lie, [S, F]: the mean over their steps of what the model reads.

    Numbers are standardised; of images it is what the convolutions of the first member see.
    """
    together = _SEGMENTS_TOGETHER if ensemble.convolutions is None else _WITH_IMAGES_TOGETHER
    places, features = [], []
    for rows_S, observation_SLO, action_SLA in _stacked(ensemble, segments, together):
        *images, input_SLF = ensemble.inputs(observation_SLO, action_SLA)
        parts_SF = [input_SLF.mean(1)]
        if ensemble.convolutions is not None:
            seen_PF = ensemble.convolutions.members[0](images[0].flatten(0, 1))
            parts_SF.append(seen_PF.view(*images[0].shape[:2], -1).mean(1))
        places.append(rows_S.numpy())
        features.append(torch.cat(parts_SF, 1).double().cpu().numpy())
    feature_SF: NDArray[np.float64] = np.concatenate(features)[np.argsort(np.concatenate(places))]
    return feature_SF


def _stacked(
    ensemble: RewardEnsemble, segments: Sequence[Segment], together: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Lay out segments of one length at a time: their places [S], observations [S, L, O] and actions [S, L, ...]."""
    device = ensemble.input_mean.device
    length_S = np.array([len(segment) for segment in segments])
    for length in np.unique(length_S):
        (rows_S,) = np.nonzero(length_S == length)
        for begin in range(0, len(rows_S), together):
            some_S = rows_S[begin : begin + together]
            observation, action = stack([segments[row] for row in some_S], ensemble.space.reads)
            yield (
                torch.from_numpy(some_S),
                torch.tensor(observation, device=device),
                torch.tensor(action, device=device),
            )
