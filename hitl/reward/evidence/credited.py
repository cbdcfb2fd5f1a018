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
from hitl.reward.evidence.rows import Observations, flat_observations

Reals = NDArray[np.float64]

_ROUNDING = 1e-9
"""Less is no credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The steps that a signal may be about, up to the frame that the teacher saw, and when they were on show."""

    press: float
    """When the key was pressed, in seconds on the stage's clock."""
    begin_L: Reals
    end_L: Reals
    observation_LO: Observations
    """Flat."""
    action_LA: NDArray[Any]
    policy_version_L: NDArray[np.int64]
    acted_L: NDArray[np.bool_]
    """The policy chose the action, and no teacher."""
    first_L: NDArray[np.bool_]
    """An episode begins with the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedSignal:
    """A signal and the steps that it is about."""

    run_id: str
    teacher_id: str
    event_id: str
    value: float
    observation_LO: Observations
    """Flat."""
    action_LA: NDArray[Any]
    policy_version_L: NDArray[np.int64]
    credit_L: Reals
    """Above 0; adds up to 1."""


def shown_before(entry: JournalEntry, segments: Sequence[Segment], *, across_episodes: bool) -> Shown | None:
    """Return the steps that a signal may be about.

    Only steps up to the frame that the teacher saw count: nobody judges what they have not been shown.

    Args:
        entry: of a `Signal`.
        segments: that the journal names for it, in any order.
        across_episodes: whether it may be about an episode that ended before the frame.

    Returns:
        None where its steps, or its frame, are lost.
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
    meant_L = (episode_L == episode_L[-1]) | across_episodes
    return Shown(
        press=float(begin_L[-1]) + signal.offset.total_seconds(),
        begin_L=begin_L[meant_L],
        end_L=np.append(begin_L[1:], np.inf)[meant_L],
        observation_LO=np.concatenate([flat_observations(s) for _, s, _ in shown])[seen_L][meant_L],
        action_LA=np.concatenate([np.asarray(s.actions) for _, s, _ in shown])[seen_L][meant_L],
        policy_version_L=np.concatenate([np.asarray(s.policy_versions) for _, _, s in shown])[seen_L][
            meant_L
        ],
        acted_L=np.concatenate([np.full(len(s.seconds), not s.teacher_id) for _, _, s in shown])[seen_L][
            meant_L
        ],
        first_L=np.concatenate([s.address.begin + np.arange(len(s)) == 0 for _, s, _ in shown])[seen_L][
            meant_L
        ],
    )


def credited(
    entry: JournalEntry,
    segments: Sequence[Segment],
    delay: DelayDensity,
    *,
    across_episodes: bool,
    smallest_share: float,
) -> CreditedSignal | None:
    """Give the steps of a signal their credit.

    Args:
        entry: see `shown_before`.
        segments: see `shown_before`.
        delay: of its teacher.
        across_episodes: see `shown_before`.
        smallest_share: of the density that must fall on these steps.

    Returns:
        None where the signal finds no place: its steps, or its frame, are lost, or it came too early or too late.
    """
    shown = shown_before(entry, segments, across_episodes=across_episodes)
    if shown is None:
        return None
    credit_L = credit_of(shown, delay, smallest_share=smallest_share)
    if credit_L is None:
        return None
    signal = entry.event
    assert isinstance(signal, Signal)
    some = np.flatnonzero(credit_L > _ROUNDING)
    return CreditedSignal(
        run_id=signal.run_id,
        teacher_id=entry.teacher_id,
        event_id=signal.event_id,
        value=signal.value,
        observation_LO=shown.observation_LO[some],
        action_LA=shown.action_LA[some],
        policy_version_L=shown.policy_version_L[some],
        credit_L=credit_L[some],
    )


def credit_of(shown: Shown, delay: DelayDensity, *, smallest_share: float) -> Reals | None:
    """Return the credit of each step, [L], which adds up to 1; None where the signal finds no place."""
    credit_SL = credit(
        delay,
        press_S=np.array([shown.press]),
        begin_T=shown.begin_L,
        end_T=shown.end_L,
        episode_T=np.zeros(len(shown.begin_L), np.int64),
        shown_episode_S=None,
    )
    (credit_L,), (placed,) = place(credit_SL, smallest_share=smallest_share)
    return credit_L if placed else None


def _seconds(showing: Showing) -> Reals:
    return np.asarray(showing.seconds, np.float64)
