"""What a signal of the journal is about: steps with credit, ready to learn from.

Axis suffix: L step that a stage showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.credit import DelayDensity, credit, place
from hitl.events import JournalEntry, Segment, Showing, Signal
from hitl.reward.evidence.rows import flat_observations

Reals = NDArray[np.float64]

_ROUNDING = 1e-9
"""Less is no credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedSignal:
    """A signal and the steps that it is about."""

    run_id: str
    teacher_id: str
    event_id: str
    value: float
    observation_LO: NDArray[np.float32]
    """Flat."""
    action_LA: NDArray[Any]
    policy_version_L: NDArray[np.int64]
    credit_L: Reals
    """Above 0; adds up to 1."""


def credited(
    entry: JournalEntry,
    segments: Sequence[Segment],
    delay: DelayDensity,
    *,
    across_episodes: bool,
    smallest_share: float,
) -> CreditedSignal | None:
    """Give the steps of a signal their credit.

    Only steps up to the frame that the teacher saw count: nobody judges what they have not been shown.

    Args:
        entry: of a `Signal`.
        segments: that the journal names for it, in any order.
        delay: of its teacher.
        across_episodes: whether it may be about an episode that ended before the frame.
        smallest_share: of the density that must fall on these steps.

    Returns:
        None where the signal finds no place: its steps, or its frame, are lost, or it came too early or too late.
    """
    signal = entry.event
    assert isinstance(signal, Signal)
    shown = sorted(
        ((showing.first_frame, segment, showing) for segment in segments if (showing := segment.showing)),
        key=lambda part: part[0],
    )
    if not shown:
        return None
    frame_L = np.concatenate([np.arange(s.first_frame, s.end_frame) for _, _, s in shown])
    seen_L = frame_L <= signal.frame
    if not seen_L.any() or frame_L[seen_L][-1] != signal.frame:
        return None
    begin_L = np.concatenate([_seconds(showing) for _, _, showing in shown])[seen_L]
    episode_L = np.concatenate([np.full(len(s), s.address.episode) for _, s, _ in shown])[seen_L]
    credit_SL = credit(
        delay,
        press_S=begin_L[-1:] + signal.offset.total_seconds(),
        begin_T=begin_L,
        end_T=np.append(begin_L[1:], np.inf),
        episode_T=episode_L,
        shown_episode_S=None if across_episodes else episode_L[-1:],
    )
    (credit_L,), (placed,) = place(credit_SL, smallest_share=smallest_share)
    if not placed:
        return None
    some = np.flatnonzero(credit_L > _ROUNDING)
    return CreditedSignal(
        run_id=signal.run_id,
        teacher_id=entry.teacher_id,
        event_id=signal.event_id,
        value=signal.value,
        observation_LO=np.concatenate([flat_observations(s) for _, s, _ in shown])[seen_L][some],
        action_LA=np.concatenate([np.asarray(segment.actions) for _, segment, _ in shown])[seen_L][some],
        policy_version_L=np.concatenate([np.asarray(s.policy_versions) for _, _, s in shown])[seen_L][some],
        credit_L=credit_L[some],
    )


def _seconds(showing: Showing) -> Reals:
    return np.asarray(showing.seconds, np.float64)
