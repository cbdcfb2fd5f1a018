"""A reward that is linear in chosen features, learnt from signals in closed form.

A signal of value h is about the steps that it gives credit, so h = sum of credit times reward, plus noise. With a
Gaussian prior on the weights, theirs is Gaussian too, and each signal changes it exactly: there is no learning rate,
and the order of the signals does not matter.

Sources: Knox and Stone 2009, "Interactively Shaping Agents via Human Reinforcement", algorithm 3 (one update for the
credited sum of features, there by a gradient step); Bishop 2006, section 3.3 (Bayesian linear regression).

Axis suffixes: S signal, T step, F feature, P any leading axes.
"""

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


class LinearReward:
    """Weights over features, with how sure they are."""

    def __init__(self, features: int, *, prior_std: float = 1.0, noise_std: float = 1.0) -> None:
        """Begin with a reward of 0.

        Args:
            features: their number.
            prior_std: how far weights may be from 0.
            noise_std: how far signals may be from what they are about.
        """
        self._noise_variance = noise_std**2
        self._moment_F = np.zeros(features)
        self._covariance_FF = np.eye(features) * prior_std**2
        self.weight_F: Reals = np.zeros(features)

    def take(self, credited_F: Reals, signal: float) -> None:
        """Learn from a signal about the credited sum of its steps' features."""
        self._update(credited_F, signal, 1.0)

    def take_back(self, credited_F: Reals, signal: float) -> None:
        """Unlearn a signal that `take` was given."""
        self._update(credited_F, signal, -1.0)

    def _update(self, credited_F: Reals, signal: float, sign: float) -> None:
        # Sherman and Morrison: the covariance after one more (or less) observation.
        spread_F = self._covariance_FF @ credited_F
        variance = self._noise_variance + sign * float(credited_F @ spread_F)
        self._covariance_FF -= np.outer(spread_F, spread_F) * (sign / variance)
        self._moment_F += credited_F * (sign * signal / self._noise_variance)
        self.weight_F = self._covariance_FF @ self._moment_F

    def reward(self, feature_PF: NDArray[np.floating]) -> Reals:
        """Return the expected reward, [P]."""
        reward_P: Reals = feature_PF @ self.weight_F
        return reward_P

    def std(self, feature_PF: NDArray[np.floating]) -> Reals:
        """Return how unsure the reward is, as a standard deviation, [P]."""
        variance_P: Reals = ((feature_PF @ self._covariance_FF) * feature_PF).sum(-1)
        std_P: Reals = np.sqrt(variance_P.clip(0.0, None))
        return std_P
