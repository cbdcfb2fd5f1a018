"""A committee: policies fitted to labels as chance might have brought them. Where they disagree, the labels say little.

Sources: Menda, Driggs-Campbell and Kochenderfer 2019, arXiv:1807.08364, on ensembles as a measure of doubt; the Poisson
bootstrap of Oza and Russell 2001, "Online bagging and boosting", section 3.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from policies.arrays import to_arrays, to_tensors
from policies.imitation.cloning import Cloning
from policies.imitation.labels import Labels
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic


class Committee:
    """Networks like the policy, each with a beginning and a sample of the labels of its own."""

    def __init__(
        self, make: Callable[[], ActorCritic], *, members: int, settings: CloningSettings, seed: int
    ) -> None:
        """Begin with untrained members, who agree on nothing.

        Args:
            make: makes an untrained network.
            members: how many.
            settings: of their fits.
            seed: of their weights and of what each sees.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = [make() for _ in range(members)]
        self._clonings = [Cloning(network, settings) for network in self.networks]
        self._seed = seed

    def fit(self, policy: ActorCritic, labels: Labels, generator: torch.Generator) -> None:
        """Fit all members.

        Args:
            policy: normalises observations as they shall.
            labels: one version; a member counts each of them as often as its place in the version says.
            generator: of the order of the labels, on the CPU.
        """
        for number, (network, cloning) in enumerate(zip(self.networks, self._clonings, strict=True)):
            for own, known in zip(network.buffers(), policy.buffers(), strict=True):
                own.copy_(known)
            times_B = np.random.default_rng([self._seed, number]).poisson(1.0, len(labels))
            seen = dataclasses.replace(labels, weight_B=labels.weight_B * times_B.astype(np.float32))
            if seen.training_B.any():
                cloning.fit(seen, generator)

    def states(self) -> list[dict[str, NDArray[np.generic]]]:
        """Return each member's state as arrays of their own."""
        return [to_arrays(network) for network in self.networks]

    def load(self, states: list[Mapping[str, NDArray[np.generic]]]) -> None:
        """Go on from what `states` returned."""
        for network, state in zip(self.networks, states, strict=True):
            network.load_state_dict(to_tensors(state))
