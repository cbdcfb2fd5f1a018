"""Images as the reward model reads them: through convolutions, which each member has of its own.

Members that share nothing but the data disagree where the data says little, which is what questions are chosen by.
Sources: Christiano et al. 2017, arXiv:1706.03741, section 2.2.3 (an ensemble of separate predictors); Lakshminarayanan
et al. 2017, arXiv:1612.01474, section 2.4; Warnell et al. 2018, "Deep TAMER", arXiv:1709.10163, section 4.2 (the
action comes in behind the encoder, so that an image is read once for all of them).

Axis suffixes: K member, P any leading axes, O number of a flat observation, F feature.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from policies.networks.convolutional import Convolutional, Filter
from policies.networks.encoders import Encoders
from policies.spaces import Leaf


class Convolutions(nn.Module):
    """What K members see in the images of an observation.

    Evaluated one after the other: on a CPU that is as fast as grouped convolutions, and faster than vmap.
    """

    def __init__(
        self, images: Sequence[Leaf], *, members: int, filters: Sequence[Filter], features: int
    ) -> None:
        """Build them with different starts.

        Args:
            images: where they lie in a flat observation.
            members: K.
            filters: of each; see `Convolutional`.
            features: of each member and image.

        Raises:
            ValueError: an image is too small for the filters.
        """
        super().__init__()
        made = partial(Convolutional, filters=filters, features=features, setting="reward.model.filters")
        self.members = nn.ModuleList(
            Encoders([(leaf, made(leaf)) for leaf in images]) for _ in range(members)
        )
        self.size = features * len(images)

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return each member's features, [K, P, F]."""
        return torch.stack([member(observation_PO) for member in self.members])
