"""An expert beside whoever acts: takes steps, and says what it would do, as a gate decides.

Axis suffixes: N environment.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from policies.experience import BoolArray, ObservationArray
from policies.imitation.gates import BetaMixture, Gate, Moment


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
        self, expert: Expert, gates: Sequence[Gate], *, asked_share: float = 1.0, seed: int = 0
    ) -> None:
        """Prepare.

        Args:
            expert: to be asked.
            gates: one for each environment.
            asked_share: probability, in (0, 1], with which a step that the policy takes is labelled, behind gates that
                label all steps.
            seed: of these draws.
        """
        self._expert, self._gates = expert, gates
        self._asked_share, self._generator = asked_share, np.random.default_rng(seed)
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
        wanted_NA, taken_NA = action_NA.copy(), action_NA
        if self.is_asked:
            drawn_N = self._generator.random(count) < self._asked_share
            for n, gate in enumerate(self._gates):
                moment = Moment(begins=bool(begins_N[n]))
                expert_acts_N[n] = gate.expert_acts(moment)
                labelled_N[n] = expert_acts_N[n] or (gate.labels_every_step and drawn_N[n])
            for n in np.flatnonzero(labelled_N).tolist():
                wanted_NA[n] = self._expert.act(observation_NO[n])
            acts = expert_acts_N.reshape(count, *[1] * (action_NA.ndim - 1))
            taken_NA = np.where(acts, wanted_NA, action_NA)
        return Oversight(taken_NA, expert_acts_N, wanted_NA, labelled_N)

    def set_beta(self, beta: float) -> None:
        """Let the expert act with this probability from now on, where chance decides."""
        for gate in self._gates:
            if isinstance(gate, BetaMixture):
                gate.beta = beta
