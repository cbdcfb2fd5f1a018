"""Where teaching stands: what the reward trainer tells the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.newest import Published
from hitl.reliability.report import TeacherReport
from hitl.reward.checks.alarms import AlarmState
from hitl.reward.online import FitReport


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingState:
    """Where teaching stands."""

    newest: Published | None
    """The reward model: its state, and the probe set of its scale; None before the first version."""
    asked: int
    """Open and answered questions."""
    answered: int
    """Answers of any kind; skips count."""
    report: FitReport | None
    refused: int
    """Versions that the gate refused."""
    rollouts: bool
    """Whether there are any to ask about: one that died has lost them."""
    unplaced_signals: int
    """That are about no step that is known."""
    delays: Mapping[str, float] = field(default_factory=dict)
    """Mean delay in seconds of the signals of each teacher of this run, as far as they are fitted."""
    teachers: Sequence[TeacherReport] = ()
    """What is known of each, by name."""
    agreement: float | None = None
    """Krippendorff's alpha of their answers to the same comparisons."""
    segments_without_clip: int = 0
    """That were asked about though their stage could not render them."""
    not_worth_asking: int = 0
    """Questions that were due, and not asked because nothing was worth it."""
    alarms: AlarmState = field(default_factory=AlarmState)
    rollbacks: int = 0
    """Times that an earlier version came back; since this trainer started."""
