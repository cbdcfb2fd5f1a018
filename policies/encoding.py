"""Which encoder each part of an observation gets; the encoders themselves are `policies.networks.encoders`."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from policies.settings import EncoderName
from policies.spaces import Leaf, flat_dtype, leaves


def chosen_encoders(
    space: gym.Space[Any],
    *,
    encoder: EncoderName = "auto",
    encoders: Mapping[str, EncoderName] | None = None,
) -> dict[str, EncoderName] | None:
    """Return the encoder of each part by the part's name, none of them "auto".

    Args:
        space: of the observation.
        encoder: of each part that `encoders` does not name. "auto": cnn for a Box with three axes; mlp for other
            Boxes in a Dict or Tuple; flat for everything else.
        encoders: by the parts' names.

    Returns:
        None where nothing is to be done: the flat observation is what the hidden layers read.

    Raises:
        TypeError: the space cannot be laid flat.
        ValueError: a name belongs to no part.
    """
    parts, named = leaves(space), dict(encoders or {})
    if unknown := set(named) - {leaf.name for leaf in parts}:
        known = ", ".join(leaf.name for leaf in parts if leaf.name) or "no parts with names"
        raise ValueError(f"policy.encoders: the observation has no {sorted(unknown)[0]!r}; it has {known}")
    chosen = {leaf.name: _resolved(leaf, named.get(leaf.name, encoder)) for leaf in parts}
    read_as_is = flat_dtype(space) == np.float32 and not any(leaf.is_bytes for leaf in parts)
    return None if read_as_is and set(chosen.values()) == {"flat"} else chosen


def normalised_numbers(space: gym.Space[Any]) -> list[bool]:
    """Return which numbers of a flat observation can be normalised: those of Boxes that are no images."""
    return [
        isinstance(leaf.space, spaces.Box) and len(leaf.space.shape) != 3 and not leaf.is_bytes
        for leaf in leaves(space)
        for _ in range(leaf.begin, leaf.end)
    ]


def _resolved(leaf: Leaf, name: EncoderName) -> EncoderName:
    if name != "auto":
        return name
    if not isinstance(leaf.space, spaces.Box):
        return "flat"
    if len(leaf.space.shape) == 3:
        return "cnn"
    return "mlp" if leaf.name else "flat"
