"""Convolutional networks over images.

Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518, "Model architecture".
Axis suffixes: P any leading axes, O number of a flat observation, F feature.
"""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from policies.networks.layers import orthogonal
from policies.settings import PrecisionName
from policies.spaces import Leaf

Filter = tuple[int, int, int]
"""Channels, kernel and stride of a convolution."""

_NATURE: tuple[Filter, ...] = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
_SMALLEST_FOR_NATURE = 36
_SMALL: tuple[Filter, ...] = ((32, 3, 1), (64, 3, 2), (64, 3, 2))


def set_precision(network: nn.Module, precision: PrecisionName) -> None:
    """Let the convolutional encoders of a network compute in this precision."""
    for module in network.modules():
        if isinstance(module, Convolutional):
            module.in_bfloat16 = precision == "bfloat16"


def has_convolutions(network: nn.Module) -> bool:
    """Whether a precision makes a difference to a network."""
    return any(isinstance(module, Convolutional) for module in network.modules())


class Convolutional(nn.Module):
    """Convolutions and a linear layer with ReLU, on flat observations of one image each."""

    scale: Tensor

    def __init__(
        self,
        leaf: Leaf,
        *,
        filters: Sequence[Filter] = (),
        features: int = 512,
        setting: str = "policy.filters",
    ) -> None:
        """Build it.

        Args:
            leaf: a Box with three axes; the channels are the first one where that is the smallest, else the last.
            filters: the convolutions, unpadded; none: the Nature CNN's, or for images with a side below 36 three with
                kernels of 3, padded so that they fit any size.
            features: units of the linear layer.
            setting: the key of the filters in a run file, for who reads the error.

        Raises:
            TypeError: the space is no image.
            ValueError: the image is too small for the filters.
        """
        super().__init__()
        space = leaf.space
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 3:
            raise TypeError(f"the encoder cnn needs a Box with three axes, not {space}; use mlp or flat")
        self._shape, self._channels_first = space.shape, space.shape[0] < space.shape[2]
        channels, *sides = space.shape if self._channels_first else (space.shape[2], *space.shape[:2])
        small = not filters and min(sides) < _SMALLEST_FOR_NATURE
        filters = filters or (_SMALL if small else _NATURE)
        padding = 1 if small else 0
        layers: list[nn.Module] = []
        for number, (out, kernel, stride) in enumerate(filters, 1):
            if min(sides) + 2 * padding < kernel:
                raise ValueError(
                    f"{setting}: convolution {number} has a kernel of {kernel}, but an image of {space.shape} is "
                    f"{' by '.join(map(str, sides))} there; leave filters out, or use smaller ones"
                )
            layers += [orthogonal(nn.Conv2d(channels, out, kernel, stride, padding)), nn.ReLU()]
            channels, sides = out, [(side + 2 * padding - kernel) // stride + 1 for side in sides]
        flat = channels * int(np.prod(sides))
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Sequential(orthogonal(nn.Linear(flat, features)), nn.ReLU())
        self.size = features
        self.register_buffer("scale", torch.tensor(1 / 255 if leaf.is_bytes else 1.0), persistent=False)
        self.in_bfloat16 = False
        """Products, features and their gradients are rounded to it; parameters and all dtypes stay as they are."""

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return features, [P, F]; bytes are scaled to [0, 1]."""
        if not self.in_bfloat16:
            return self._features(observation_PO)
        # Without a cache of weights: kernels that are traced must not know those of another call.
        with torch.autocast(observation_PO.device.type, torch.bfloat16, cache_enabled=False):
            return self._features(observation_PO).to(self.scale.dtype)

    def _features(self, observation_PO: Tensor) -> Tensor:
        image = observation_PO.reshape(-1, *self._shape)
        if not self._channels_first:
            image = image.movedim(-1, 1)
        hidden_PF: Tensor = self.linear(self.convolutions(image * self.scale).flatten(1))
        return hidden_PF.view(*observation_PO.shape[:-1], self.size)
