"""What every gate reads and says, and the switches that it counts."""

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known right before a step; a gate says what it needs of the numbers that may be missing."""

    begins: bool
    """The step is the first one of an episode."""
    doubt: float | None = None
    """The policy's about its action here, as `measures.doubt` gives it."""
    risk: float | None = None
    """Probability that the policy does not reach the goal from here, as `policies.imitation.risk` gives it."""
    predicted_discrepancy: float | None = None
    """What is believed of the discrepancy here while the expert is not asked."""
    discrepancy: float | None = None
    """True one, as `measures.discrepancy` gives it, in the newest state in which the expert's action is known: this one
    where a program is asked, the last one that they acted in where people are."""
    person_acts: bool = False
    """A person holds the controls."""


class Gate(Protocol):
    """Says who acts, step after step of one environment."""

    @property
    def labels_every_step(self) -> bool:
        """Whether the expert labels all steps, also in hindsight; else only those in which they act are labels."""
        ...

    def expert_acts(self, moment: Moment) -> bool:
        """Return whether the expert takes the step; to be asked once a step.

        Raises:
            ValueError: a number is missing that the gate needs.
        """
        ...


class SwitchingGate:
    """A gate that counts switches to the expert; a subclass says in `_wants_expert` when one is due.

    Every episode begins with the policy, so an expert who acts in its first step is a switch.
    """

    labels_every_step: bool = False

    def __init__(self, *, most_switches: int | None = None) -> None:
        """Begin before an episode.

        Args:
            most_switches: to the expert in one episode; after them, and once the expert has given control back, the
                policy acts until the episode ends. None: as many as there are.

        Raises:
            ValueError: the bound is below 0.
        """
        if most_switches is not None and most_switches < 0:
            raise ValueError(f"most_switches is {most_switches}; give 0 or more, or None for no bound")
        self._most = most_switches
        self._expert_acts = False
        self.switches = 0
        """To the expert, in this episode."""

    def expert_acts(self, moment: Moment) -> bool:
        """See `Gate`."""
        if moment.begins:
            self._expert_acts, self.switches = False, 0
            self._begin_episode()
        wants = self._wants_expert(moment)
        if wants and not self._expert_acts:
            wants = self._most is None or self.switches < self._most
            if wants:
                self.switches += 1
                self._switch(moment)
        self._expert_acts = wants
        return wants

    def _begin_episode(self) -> None:
        """Hook before an episode's first step."""

    def _wants_expert(self, moment: Moment) -> bool:
        """Whether the expert should act; `_expert_acts` is still who took the step before."""
        raise NotImplementedError

    def _switch(self, moment: Moment) -> None:
        """Hook at a switch to the expert."""


def known(value: float | None, name: str) -> float:
    """Return a number that a gate needs.

    Raises:
        ValueError: it is missing or not a number: no guess is made where it decides who acts.
    """
    if value is None or math.isnan(value):
        raise ValueError(f"this gate needs {name} at this step, but it is {value}; give a number")
    return value
