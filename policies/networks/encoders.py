"""From a flat observation to features: an encoder for each part of it, by name.

Axis suffixes: P any leading axes, O number of a flat observation, F feature.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from policies.encoding import chosen_encoders
from policies.networks.convolutional import Convolutional, Filter
from policies.networks.layers import ACTIVATIONS, orthogonal
from policies.settings import EncoderName
from policies.spaces import Leaf, flat_size, leaves


class Flat(nn.Module):
    """The numbers as they are, but bytes scaled to [0, 1]."""

    scale: Tensor

    def __init__(self, leaf: Leaf) -> None:
        super().__init__()
        self.size = leaf.end - leaf.begin
        # A tensor, so that bytes become numbers of the network's own precision.
        self.register_buffer("scale", torch.tensor(1 / 255 if leaf.is_bytes else 1.0), persistent=False)

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return them, [P, F]."""
        return observation_PO * self.scale


class Layered(nn.Module):
    """One layer on the numbers as they are."""

    def __init__(self, leaf: Leaf, *, units: int, activation: str) -> None:
        super().__init__()
        flat = Flat(leaf)
        self.layers = nn.Sequential(flat, orthogonal(nn.Linear(flat.size, units)), ACTIVATIONS[activation]())
        self.size = units

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return the layer's units, [P, F]."""
        features_PF: Tensor = self.layers(observation_PO)
        return features_PF


class Encoders(nn.Module):
    """The features of all parts, side by side."""

    def __init__(self, parts: Sequence[tuple[Leaf, Any]]) -> None:
        super().__init__()
        self._places = [(leaf.begin, leaf.end) for leaf, _ in parts]
        self.encoders = nn.ModuleList(encoder for _, encoder in parts)
        self.size = sum(encoder.size for _, encoder in parts)

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return the features, [P, F]."""
        parts = zip(self._places, self.encoders, strict=True)
        return torch.cat([encode(observation_PO[..., begin:end]) for (begin, end), encode in parts], -1)


def make_encoder(
    space: gym.Space[Any],
    *,
    encoder: EncoderName = "auto",
    encoders: Mapping[str, EncoderName] | None = None,
    activation: str = "tanh",
    vector_features: int = 64,
    image_features: int = 512,
    filters: Sequence[Filter] = (),
) -> tuple[list[nn.Module], int]:
    """Make what lies between an observation and the hidden layers.

    Args:
        space: of the observation before it was laid flat.
        encoder: of each part that `encoders` does not name.
        encoders: by the parts' names (`policies.spaces.Leaf.name`).
        activation: of mlp.
        vector_features: units of mlp.
        image_features: units of cnn's linear layer.
        filters: of cnn; none: as the image's size suggests.

    Returns:
        A list of one encoder, or of none where the hidden layers read the observation as it is; and the number of
        features.

    Raises:
        TypeError: a part has no encoder, or not the one named.
        ValueError: a name belongs to no part, or an image is too small.
    """
    names = chosen_encoders(space, encoder=encoder, encoders=encoders)
    if names is None:
        return [], flat_size(space)

    def make(leaf: Leaf) -> Any:
        if names[leaf.name] == "cnn":
            return Convolutional(leaf, filters=filters, features=image_features)
        if names[leaf.name] == "mlp":
            return Layered(leaf, units=vector_features, activation=activation)
        return Flat(leaf)

    parts = [(leaf, make(leaf)) for leaf in leaves(space)]
    module = Encoders(parts) if len(parts) > 1 else parts[0][1]
    return [module], module.size
