"""DAgger's mixture: the expert acts by chance.

Source: Ross, Gordon and Bagnell 2011, arXiv:1011.0686, algorithm 3.1: pi_i = beta_i pi* + (1 - beta_i) pi_hat_i. The
chance of each round is one of `policies.imitation.schedules`.
"""

from typing import Literal

import numpy as np

from policies.imitation.gates.gate import Moment, SwitchingGate


class BetaMixture(SwitchingGate):
    """The expert acts with probability `beta`, in each step or in whole episodes; all visited states are labels."""

    labels_every_step = True

    def __init__(
        self,
        beta: float,
        *,
        seed: int,
        drawn_each: Literal["step", "episode"] = "step",
        most_switches: int | None = None,
    ) -> None:
        """Begin before an episode.

        Args:
            beta: in [0, 1]; a later round sets another one.
            seed: of the draws; one is made each step or episode whatever beta is.
            drawn_each: how long a draw holds.
            most_switches: see `SwitchingGate`.

        Raises:
            ValueError: beta or the bound is out of its range.
        """
        super().__init__(most_switches=most_switches)
        self.beta = beta
        self._generator, self._each_step = np.random.default_rng(seed), drawn_each == "step"
        self._drawn = 1.0

    @property
    def beta(self) -> float:
        """Probability that the expert acts."""
        return self._beta

    @beta.setter
    def beta(self, beta: float) -> None:
        if not 0 <= beta <= 1:
            raise ValueError(f"beta is {beta}; give a probability")
        self._beta = beta

    def _wants_expert(self, moment: Moment) -> bool:
        if self._each_step or moment.begins:
            self._drawn = self._generator.random()
        return self._drawn < self._beta
