"""Which steps a signal is about: from a key press to a weight on each past step.

A person reacts late, and to one of the steps before the press. With `f` the density of the delay between being shown
a step and the press that it causes, the credit of a step is the probability that the press was for it: `f` integrated
over the delays at which the step was on show. Steps may last differently; a pause is one long step.

Source: Knox and Stone 2009, "Interactively Shaping Agents via Human Reinforcement: The TAMER Framework", section 3.3.

Axis suffixes: S signal, T step, D bin of delay. Times are seconds of one clock, the stage's.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincinv

Reals = NDArray[np.float64]

_NEARLY_ALL = 0.999
"""Of a density without an end, the part that counts as all of it."""
_TINY = 1e-12
"""Keeps delays possible that seem impossible so far."""
_PASSES = 3
"""Of expectation maximisation, for each new signal."""


class DelayDensity(Protocol):
    """How long after a step was shown the press comes that it causes."""

    @property
    def longest_seconds(self) -> float:
        """Delay after which a press is hardly ever for a step."""
        ...

    def cumulative(self, delay: ArrayLike) -> Reals:
        """Return the probability of a shorter delay, of the argument's shape; 0 for negative ones."""
        ...


@dataclass(frozen=True, slots=True)
class UniformDelay:
    """Every delay from `shortest` to `longest` seconds is as likely."""

    shortest: float
    longest: float

    def __post_init__(self) -> None:
        if not 0 <= self.shortest < self.longest:
            raise ValueError(f"a delay from {self.shortest} to {self.longest} s is empty or begins before 0")

    @property
    def longest_seconds(self) -> float:
        """See `DelayDensity`."""
        return self.longest

    def cumulative(self, delay: ArrayLike) -> Reals:
        """See `DelayDensity`."""
        share: Reals = (np.asarray(delay, np.float64) - self.shortest) / (self.longest - self.shortest)
        return share.clip(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class GammaDelay:
    """A gamma distribution that begins at `shortest` seconds."""

    shape: float
    scale: float
    shortest: float

    def __post_init__(self) -> None:
        if self.shape <= 0 or self.scale <= 0 or self.shortest < 0:
            raise ValueError("a gamma delay needs shape and scale above 0, and does not begin before 0")

    @property
    def mean_seconds(self) -> float:
        """Mean delay."""
        return self.shortest + self.shape * self.scale

    @property
    def longest_seconds(self) -> float:
        """See `DelayDensity`."""
        return self.shortest + self.scale * float(gammaincinv(self.shape, _NEARLY_ALL))

    def cumulative(self, delay: ArrayLike) -> Reals:
        """See `DelayDensity`."""
        since: Reals = (np.asarray(delay, np.float64) - self.shortest) / self.scale
        share: Reals = gammainc(self.shape, since.clip(0.0, None))
        return share


TAMER = UniformDelay(0.2, 0.8)
"""Knox and Stone 2009, for tasks of slow steps."""
DEEP_TAMER = UniformDelay(0.28, 4.0)
"""Warnell et al. 2018, arXiv:1709.10163, section 4.1."""
GAMMA = GammaDelay(shape=2.0, scale=0.28, shortest=0.2)
"""Knox and Stone 2009, after Hockley 1984 on choice reaction times."""


def credit(
    delay: DelayDensity,
    *,
    press_S: Reals,
    begin_T: Reals,
    end_T: Reals,
    episode_T: NDArray[np.int64],
    shown_episode_S: NDArray[np.int64] | None,
) -> Reals:
    """Return each signal's credit of each step.

    Args:
        delay: of the teacher.
        press_S: when the keys were pressed.
        begin_T: when the outcome of each step was first shown.
        end_T: when the next one took its place.
        episode_T: that each step belongs to.
        shown_episode_S: what the teacher saw as they pressed: no step of another one gets credit. None where a signal
            may be about the episode before.

    Returns:
        [S, T]; a row adds up to the share of the density that falls on these steps, at most 1.
    """
    press_S1 = press_S[:, None]
    credit_ST = delay.cumulative(press_S1 - begin_T) - delay.cumulative(press_S1 - end_T)
    if shown_episode_S is not None:
        credit_ST *= shown_episode_S[:, None] == episode_T
    return credit_ST


def place(credit_ST: Reals, *, smallest_share: float) -> tuple[Reals, NDArray[np.bool_]]:
    """Bring the credit of each signal to a sum of 1: given that it was about one of these steps.

    Args:
        credit_ST: as `credit` returns it.
        smallest_share: signals of which less falls on these steps are probably about none of them.

    Returns:
        The credit [S, T], 0 in the rows of signals that found no place, and which ones found one [S].
    """
    share_S = credit_ST.sum(1)
    placed_S = (share_S > 0) & (share_S >= smallest_share)
    return np.where(placed_S[:, None], credit_ST / np.where(placed_S, share_S, 1.0)[:, None], 0.0), placed_S


def thin(credit_T: Reals, *, most: int, offset: float) -> tuple[NDArray[np.int64], Reals]:
    """Choose at most so many steps that stand for all, where a stage shows more than a learner can look at.

    The mean over the chosen steps is, over offsets, the mean over all of them by their credit. Where no more steps have
    credit, all of them stay as they are.

    Source: systematic sampling, Kitagawa 1996, "Monte Carlo filter and smoother for non-Gaussian nonlinear state space
    models", appendix.

    Args:
        credit_T: of each step; adds up to 1.
        most: steps to choose.
        offset: uniform in [0, 1).

    Returns:
        The chosen steps in order, and their credit, which adds up to 1.
    """
    if np.count_nonzero(credit_T) <= most:
        step_C = np.flatnonzero(credit_T)
        return step_C, credit_T[step_C]
    point_M = (np.arange(most) + offset) / most
    place_M = np.searchsorted(np.cumsum(credit_T), point_M * credit_T.sum(), side="right")
    step_C, count_C = np.unique(np.minimum(place_M, len(credit_T) - 1), return_counts=True)
    return step_C, count_C / most


class DelayFit:
    """A teacher's own density, fitted while they teach: a gamma distribution after the shortest reaction.

    Each signal was for one unknown step. How well the signal's value fits each step, and how likely the delays to it
    are so far, says for which; the density then takes the mean and the variance of these delays. A prior density counts
    as `prior_signals` signals. Without an opinion on the values, and so always while nothing is learnt yet, the density
    stays about what it is.

    Source: expectation maximisation, Dempster, Laird and Rubin 1977, with the moments of a gamma distribution in the
    place of its likelihood.
    """

    def __init__(
        self,
        prior: DelayDensity,
        *,
        prior_signals: float,
        shortest: float = 0.2,
        bin_seconds: float = 0.05,
        most_signals: int = 500,
    ) -> None:
        """Begin with a gamma distribution of the prior's moments.

        Args:
            prior: what is believed of a teacher of whom nothing is known; no delay beyond its longest is looked for.
            prior_signals: signals of theirs that weigh as much; above 0.
            shortest: delay in seconds; nobody reacts faster.
            bin_seconds: to which delays are told apart; above 0.
            most_signals: that count; older ones are forgotten.

        Raises:
            ValueError: a number cannot be, or the prior allows no two delays to tell apart.
        """
        if not (prior_signals > 0 and bin_seconds > 0 and most_signals >= 1):
            raise ValueError(
                "a fitted delay needs prior_signals and bin_seconds above 0, and a signal or more"
            )
        bins = int(np.ceil((prior.longest_seconds - shortest) / bin_seconds - _TINY))
        if bins < 2:
            raise ValueError(
                f"delays from {shortest} to {prior.longest_seconds} s are too short to be fitted in steps of "
                f"{bin_seconds} s; lower bin_seconds or take a prior that lasts longer"
            )
        self._edges = shortest + np.arange(bins + 1) * bin_seconds
        self._shortest, self._bin_seconds = shortest, bin_seconds
        share_D = np.diff(prior.cumulative(self._edges))
        if np.count_nonzero(share_D) < 2:
            raise ValueError(f"the prior allows no two delays that are {bin_seconds} s apart")
        self._prior_D: Reals = prior_signals * share_D / share_D.sum()
        self._likelihoods: deque[Reals] = deque(maxlen=most_signals)
        """Of each signal's value, by bin [D]."""
        self.density = self._gamma(self._prior_D)
        """The density so far."""

    def observe(self, *, press: float, begin_T: Reals, end_T: Reals, log_likelihood_T: Reals) -> None:
        """Take a signal into account.

        Args:
            press: when the key was pressed.
            begin_T: when each step was first shown.
            end_T: when the next one took its place.
            log_likelihood_T: of the signal's value if it is for this step, up to a constant.
        """
        if not len(begin_T):
            return
        latest_T1, earliest_T1 = (press - begin_T)[:, None], (press - end_T)[:, None]
        overlap_TD = np.minimum(latest_T1, self._edges[1:]) - np.maximum(earliest_T1, self._edges[:-1])
        likelihood_T1 = np.exp(log_likelihood_T - log_likelihood_T.max())[:, None]
        likelihood_D = (overlap_TD.clip(0.0, None) * likelihood_T1).sum(0) / self._bin_seconds
        if likelihood_D.any():
            self._likelihoods.append(likelihood_D)
            self._improve()

    def _improve(self) -> None:
        likelihood_SD = np.array(self._likelihoods)
        for _ in range(_PASSES):
            joint_SD = likelihood_SD * (np.diff(self.density.cumulative(self._edges)) + _TINY)
            self.density = self._gamma(self._prior_D + (joint_SD / joint_SD.sum(1, keepdims=True)).sum(0))

    def _gamma(self, count_D: Reals) -> GammaDelay:
        since_D = (self._edges[1:] + self._edges[:-1]) / 2 - self._shortest
        mean = float(count_D @ since_D / count_D.sum())
        variance = float(count_D @ (since_D - mean) ** 2 / count_D.sum())
        return GammaDelay(shape=mean**2 / variance, scale=variance / mean, shortest=self._shortest)
