"""Observations of mean 0 and variance 1, as a network's first layer.

Source: "The 37 implementation details of PPO" (Huang et al. 2022), continuous actions, details 6 and 7.
"""

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from policies.encoding import normalised_numbers
from policies.normalisation.moments import Moments
from policies.settings import FURTHEST, TINY


class Normaliser(nn.Module):
    """Brings the numbers of flat observations to mean 0 and variance 1, by `moments`."""

    chosen: Tensor

    def __init__(self, space: gym.Space[Any]) -> None:
        """Make it.

        Raises:
            ValueError: the observation has no numbers to normalise.
        """
        super().__init__()
        chosen = normalised_numbers(space)
        if not any(chosen):
            raise ValueError(
                f"policy.normalise_observations: {space} has only images and one-hot parts, which need none; "
                "set it to false"
            )
        self._all = all(chosen)
        self.moments = Moments(len(chosen))
        self.register_buffer("chosen", torch.tensor(chosen), persistent=False)

    def forward(self, observation_PO: Tensor) -> Tensor:
        """Return the observation, normalised and clipped."""
        scale = (self.moments.variance + TINY).rsqrt()
        normalised = ((observation_PO - self.moments.mean) * scale).clamp(-FURTHEST, FURTHEST)
        return normalised if self._all else torch.where(self.chosen, normalised, observation_PO)
