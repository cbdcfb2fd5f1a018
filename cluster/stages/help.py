"""When a stage asks the people in front of it to take the controls: the run's gate, and how long it waits."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from policies.acting.counsel import Counsel
from policies.experience import ObservationArray
from policies.imitation.gates import Gate, Moment, discrepancy


class Help:
    """Looks at each state that is shown. No clock of its own, and no connection."""

    def __init__(
        self, gate: Gate, counsel: Counsel, action_space: gym.Space[Any], *, wait_seconds: float
    ) -> None:
        """Begin.

        Args:
            gate: decides.
            counsel: says what the policy doubts and risks.
            action_space: of the environment.
            wait_seconds: for somebody to take the controls, once each time that help is asked for.
        """
        self.counsel = counsel
        self._gate, self._space, self._wait_seconds = gate, action_space, wait_seconds
        self._own_NA: NDArray[Any] | None = None
        self._apart: float | None = None
        """How far the person was from the policy, if one took the last step."""
        self._asks, self._until = False, 0.0

    def look(
        self, observation_NO: ObservationArray, own_NA: NDArray[Any], *, begins: bool, now: float
    ) -> bool:
        """Return whether help is wanted in a state, before its step.

        Args:
            observation_NO: flat, of one environment.
            own_NA: what the policy would do.
            begins: the state begins an episode.
            now: of a monotonic clock, in seconds.
        """
        (doubt,), (expected,) = self.counsel.about(observation_NO, own_NA)
        risk_N = self.counsel.risk(observation_NO, own_NA)
        if begins:
            self._asks, self._apart = False, None
        before, self._own_NA = self._asks, own_NA
        self._asks = self._gate.expert_acts(
            Moment(
                begins=begins,
                doubt=float(doubt),
                risk=None if risk_N is None else float(risk_N[0]),
                predicted_discrepancy=float(expected),
                # Where nobody came, or they left again, the expected one is all that is known.
                discrepancy=float(expected) if self._apart is None else self._apart,
            )
        )
        if self._asks and not before:
            self._until = now + self._wait_seconds
        return self._asks

    def waits(self, now: float) -> bool:
        """Whether the step is put off for somebody to come."""
        return self._asks and now < self._until

    def acted(self, action: NDArray[Any] | None) -> None:
        """Take note of a step: what a person did, None where the policy acted."""
        if action is None or self._own_NA is None:
            self._apart = None
        else:
            self._apart = float(discrepancy(self._own_NA, np.asarray(action)[None], self._space)[0])
