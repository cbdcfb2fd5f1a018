"""Layers as "The 37 implementation details of PPO" (Huang et al. 2022), detail 2, wants them begun."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
GAIN = math.sqrt(2)
"""Of the orthogonal weights of hidden layers."""


def orthogonal(layer: Layer, gain: float = GAIN) -> Layer:
    """Give a layer orthogonal weights and zero biases; returns it."""
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int, *, activation: str, last_gain: float
) -> nn.Sequential:
    """Build a multi-layer perceptron with orthogonal weights and zero biases."""
    layers: list[nn.Module] = []
    for size, following in zip([inputs, *hidden], hidden, strict=False):
        layers += [orthogonal(nn.Linear(size, following)), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, orthogonal(nn.Linear([inputs, *hidden][-1], outputs), last_gain))


def one_hot(action_PA: Tensor, choices: int | Sequence[int]) -> Tensor:
    """Return discrete actions one-hot, int64[P, F].

    Args:
        action_PA: int64; without an axis of its own where there is but one choice.
        choices: options of this choice, or those on each axis, which come side by side.
    """
    if isinstance(choices, int):
        return functional.one_hot(action_PA, choices)
    axes = zip(action_PA.unbind(-1), choices, strict=True)
    return torch.cat([functional.one_hot(chosen, options) for chosen, options in axes], -1)
