"""Which steps a signal of a journal is about, for whoever learns from it.

Axis suffix: L step that a stage showed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hitl.credit import DelayDensity
from hitl.events import JournalEntry, Segment, Signal
from hitl.reward.evidence.delays import FittedDelays
from hitl.reward.evidence.shown import Reals, Shown, credit_of, shown_before
from hitl.reward.settings import Reads


class Credited(NamedTuple):
    """The steps that a signal may be about, and how probable each is."""

    shown: Shown
    credit_L: Reals
    """Adds up to 1; 0 for steps that it is not about."""


class Crediting:
    """Gives the steps of each signal their credit, by the delays of its teacher."""

    def __init__(
        self,
        delay: DelayDensity,
        *,
        across_episodes: bool,
        smallest_share: float,
        fitted: FittedDelays | None = None,
        reads: Reads = "state_action",
    ) -> None:
        """Prepare.

        Args:
            delay: of the teachers.
            across_episodes: whether a signal may be about the episode before.
            smallest_share: of the density that must fall on steps that were shown; see `hitl.credit.place`.
            fitted: each teacher's own delays, in the place of `delay`. A signal has the credit that they give it as it
                comes, before they learn from it.
            reads: what a model reads of each step.
        """
        self._delay, self._fitted, self._reads = delay, fitted, reads
        self._across, self._smallest_share = across_episodes, smallest_share

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> Credited | None:
        """Give the steps of a signal their credit; each signal once.

        Args:
            entry: of a `Signal`.
            segments: that the journal names for it, in any order.

        Returns:
            None where the signal finds no place: its steps, or its frame, are lost, or it came too early or too late.
        """
        signal = entry.event
        assert isinstance(signal, Signal)
        shown = shown_before(entry, segments, across_episodes=self._across, reads=self._reads)
        if shown is None:
            return None
        delays = self._fitted.of_run(signal.run_id) if self._fitted else None
        density = delays.of(entry.teacher_id) if delays else self._delay
        credit_L = credit_of(shown, density, smallest_share=self._smallest_share)
        if delays:
            delays.observe(entry.teacher_id, shown, signal.value)
        return None if credit_L is None else Credited(shown, credit_L)

    def delay_of(self, run_id: str, teacher_id: str) -> DelayDensity:
        """Return what a teacher's delays are believed to be."""
        return self._fitted.of_run(run_id).of(teacher_id) if self._fitted else self._delay

    def mean_delays(self, run_id: str) -> Mapping[str, float]:
        """Return the mean delay in seconds of each teacher of a run, as far as delays are fitted."""
        return self._fitted.of_run(run_id).mean_seconds if self._fitted else {}
