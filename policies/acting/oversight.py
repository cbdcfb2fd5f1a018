"""An expert beside whoever acts: takes steps, and says what it would do, as a gate decides.

Axis suffixes: N environment.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from policies.acting.counsel import Counsel
from policies.experience import BoolArray, ObservationArray
from policies.imitation.gates import BetaMixture, Gate, Moment, discrepancy


class Expert(Protocol):
    """Knows what to do."""

    def act(self, observation: Any, /) -> Any:
        """Return an action of the task, for one flat observation."""
        ...


class Oversight(NamedTuple):
    """What comes of a step's actions."""

    action_NA: NDArray[Any]
    """That are taken."""
    expert_acts_N: BoolArray
    """Whose action is the expert's."""
    wanted_NA: NDArray[Any]
    """The expert's actions, where `labelled_N`; else what is taken."""
    labelled_N: BoolArray
    """The expert has said what it would do."""


class Overseer:
    """An expert in front of several environments, with a gate for each."""

    def __init__(
        self,
        expert: Expert,
        gates: Sequence[Gate],
        action_space: gym.Space[Any],
        *,
        asked_share: float = 1.0,
        seed: int = 0,
        counsel: Counsel | None = None,
    ) -> None:
        """Begin.

        Args:
            expert: is asked in one state after the other.
            gates: one of each environment.
            action_space: of one environment.
            asked_share: probability, in (0, 1], with which a step that the policy takes is labelled, behind gates that
                label all steps.
            seed: of these draws.
            counsel: for gates that read the policy's doubt.
        """
        self._expert, self._gates, self._space, self._counsel = expert, gates, action_space, counsel
        self._asked_share, self._generator = asked_share, np.random.default_rng(seed)
        self._apart: list[float | None] = [None] * len(gates)
        """The newest discrepancy known in each episode."""
        self.is_asked = True
        """Whether the expert may be asked; if not, the policy acts alone and there are no labels."""

    def look(
        self, observation_NO: ObservationArray, action_NA: NDArray[Any], begins_N: BoolArray
    ) -> Oversight:
        """Look at a step before it is taken.

        Args:
            observation_NO: flat.
            action_NA: that whoever acts would take.
            begins_N: the step is the first one of its episode.
        """
        count = len(action_NA)
        expert_acts_N, labelled_N = np.zeros(count, bool), np.zeros(count, bool)
        wanted_NA = action_NA.copy()
        if not self.is_asked:
            return Oversight(action_NA, expert_acts_N, wanted_NA, labelled_N)
        said = self._counsel.about(observation_NO, action_NA) if self._counsel else None
        risk_N = self._counsel.risk(observation_NO, action_NA) if self._counsel else None
        drawn_N = self._generator.random(count) < self._asked_share
        for n, gate in enumerate(self._gates):
            if begins_N[n]:
                self._apart[n] = None
            labelled_N[n] = gate.labels_every_step and drawn_N[n]
            if labelled_N[n]:
                self._ask(n, observation_NO, action_NA, wanted_NA)
            expert_acts_N[n] = gate.expert_acts(
                Moment(
                    begins=bool(begins_N[n]),
                    doubt=float(said[0][n]) if said else None,
                    risk=None if risk_N is None else float(risk_N[n]),
                    predicted_discrepancy=float(said[1][n]) if said else None,
                    discrepancy=self._apart[n],
                )
            )
            if expert_acts_N[n] and not labelled_N[n]:
                self._ask(n, observation_NO, action_NA, wanted_NA)
                labelled_N[n] = True
        acts = expert_acts_N.reshape(count, *[1] * (action_NA.ndim - 1))
        return Oversight(np.where(acts, wanted_NA, action_NA), expert_acts_N, wanted_NA, labelled_N)

    def _ask(
        self, n: int, observation_NO: ObservationArray, action_NA: NDArray[Any], wanted_NA: NDArray[Any]
    ) -> None:
        wanted_NA[n] = self._expert.act(observation_NO[n])
        if self._counsel:
            self._apart[n] = float(discrepancy(action_NA[n : n + 1], wanted_NA[n : n + 1], self._space)[0])

    def load(self, weights: Any) -> None:
        """Take over the newest weights, as far as the gates read what they say."""
        if self._counsel:
            self._counsel.load(weights)

    def set_beta(self, beta: float) -> None:
        """Let the expert act with this probability from now on, where chance decides."""
        for gate in self._gates:
            if isinstance(gate, BetaMixture):
                gate.beta = beta
