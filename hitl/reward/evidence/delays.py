"""How fast each teacher reacts, fitted while they teach.

For which step a key was pressed shows in its value: a plus was probably for a good step. What is good is not known
either, so a rough opinion is learnt from the same signals beside the delays. It is not the reward model, which depends
on when it was fitted: delays follow from the journal alone, and whoever reads it again finds the same ones.

Axis suffixes: L step that a signal may be about, I number of an input, F feature.
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hitl.credit import DelayDensity, DelayFit, UniformDelay
from hitl.reward.evidence.shown import Shown, credit_of
from hitl.reward.linear import LinearReward
from hitl.reward.network.inputs import InputSpace

Reals = NDArray[np.float64]

_FIRST_SIGNALS = 10
"""Their steps say on what scale the inputs are."""
_FEATURES = 64
_NOISE_STD = 0.5
"""Of signals, around the opinion."""
_SMALLEST_STD = 1e-6


class RandomFeatures:
    """Cosines in random directions, and a constant: a reward that is linear in them is smooth in the inputs.

    Inputs are standardised, and inputs about as far apart as two of those given are half alike. Source: Rahimi and
    Recht 2007, "Random Features for Large-Scale Kernel Machines", algorithm 1, for the Gaussian kernel.
    """

    size = _FEATURES + 1

    def __init__(self, input_LI: Reals, rng: np.random.Generator) -> None:
        """Draw directions; the inputs given say on what scale others will be."""
        std_I = input_LI.std(0)
        self._mean_I = input_LI.mean(0)
        scale_I1 = np.where(std_I > _SMALLEST_STD, std_I, 1.0)[:, None] * math.sqrt(len(std_I))
        self._direction_IF = rng.normal(size=(len(std_I), _FEATURES)) / scale_I1
        self._phase_F = rng.uniform(0.0, 2 * math.pi, _FEATURES)

    def __call__(self, input_LI: Reals) -> Reals:
        """Return the features, [L, F]."""
        wave_LF = np.cos((input_LI - self._mean_I) @ self._direction_IF + self._phase_F)
        return np.concatenate([wave_LF * math.sqrt(2 / _FEATURES), np.ones((len(input_LI), 1))], 1)


class RunDelays:
    """The delays of the teachers of one run: a function of its signals, in their order."""

    def __init__(
        self, prior: DelayDensity, space: InputSpace, *, shortest: float, prior_signals: float, seed: int
    ) -> None:
        """Begin without any signal.

        Args:
            prior: see `DelayFit`.
            space: what the opinion looks at.
            shortest: see `DelayFit`.
            prior_signals: see `DelayFit`.
            seed: of the opinion's features.
        """
        self._prior, self._space = prior, space
        self._shortest, self._prior_signals = shortest, prior_signals
        self._any = UniformDelay(shortest, prior.longest_seconds)
        self._rng = np.random.default_rng(seed)
        self._fits: dict[str, DelayFit] = {}
        self._first: list[tuple[str, Shown, float]] = []
        self._features: RandomFeatures | None = None
        self._opinion = LinearReward(RandomFeatures.size, noise_std=_NOISE_STD)

    def of(self, teacher_id: str) -> DelayDensity:
        """Return what is known of a teacher's delays."""
        return self._fit(teacher_id).density

    @property
    def mean_seconds(self) -> Mapping[str, float]:
        """Of each teacher; may be read while another thread observes."""
        return {teacher_id: fit.density.mean_seconds for teacher_id, fit in self._fits.copy().items()}

    def observe(self, teacher_id: str, shown: Shown, value: float) -> None:
        """Take a signal into account."""
        told = [(teacher_id, shown, value)]
        if self._features is None:
            self._first += told
            if len(self._first) < _FIRST_SIGNALS:
                return
            told, self._first = self._first, []
            self._features = RandomFeatures(np.concatenate([self._inputs(s) for _, s, _ in told]), self._rng)
        for one in told:
            self._learn(self._features, *one)

    def _learn(self, features: RandomFeatures, teacher_id: str, shown: Shown, value: float) -> None:
        fit, feature_LF = self._fit(teacher_id), features(self._inputs(shown))
        variance_L = _NOISE_STD**2 + self._opinion.std(feature_LF) ** 2
        error_L = value - self._opinion.reward(feature_LF)
        fit.observe(
            press=shown.press,
            begin_T=shown.begin_L,
            end_T=shown.end_L,
            log_likelihood_T=-0.5 * (error_L**2 / variance_L + np.log(variance_L)),
        )
        # Half of it at any delay: an opinion on steps at the wrong delays alone would confirm them.
        given = [credit_of(shown, delay, smallest_share=0.0) for delay in (fit.density, self._any)]
        if some := [credit_L for credit_L in given if credit_L is not None]:
            self._opinion.take(np.mean(some, 0) @ feature_LF, value)

    def _fit(self, teacher_id: str) -> DelayFit:
        if teacher_id not in self._fits:
            self._fits[teacher_id] = DelayFit(
                self._prior, prior_signals=self._prior_signals, shortest=self._shortest
            )
        return self._fits[teacher_id]

    def _inputs(self, shown: Shown) -> Reals:
        return np.concatenate(
            [shown.observation_LO, self._space.encoded(shown.action_LA)], 1, dtype=np.float64
        )


class FittedDelays:
    """The delays of all teachers, run by run: how the journals of several runs come mixed changes nothing."""

    def __init__(
        self, prior: DelayDensity, space: InputSpace, *, shortest: float, prior_signals: float, seed: int
    ) -> None:
        """Begin without any signal; see `RunDelays`.

        Raises:
            ValueError: a delay cannot be fitted to this prior.
        """
        DelayFit(prior, prior_signals=prior_signals, shortest=shortest)
        self._make = partial(
            RunDelays, prior, space, shortest=shortest, prior_signals=prior_signals, seed=seed
        )
        self._runs: dict[str, RunDelays] = {}

    def of_run(self, run_id: str) -> RunDelays:
        """Return those of one run's teachers."""
        if run_id not in self._runs:
            self._runs.setdefault(run_id, self._make())
        return self._runs[run_id]
