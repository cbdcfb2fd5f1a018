"""The steps that were on show when a key was pressed, and the credit of each.

Axis suffix: L step that a stage showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.credit import DelayDensity, credit, place
from hitl.events import JournalEntry, Segment, Showing, Signal
from hitl.reward.evidence.rows import Observations, steps_of
from hitl.reward.settings import Reads

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
    """Flat; see `steps_of`."""
    action_LA: NDArray[Any]
    policy_version_L: NDArray[np.int64]
    acted_L: NDArray[np.bool_]
    """The policy chose the action, and no teacher."""
    first_L: NDArray[np.bool_]
    """An episode begins with the step."""


def shown_before(
    entry: JournalEntry,
    segments: Sequence[Segment],
    *,
    across_episodes: bool,
    reads: Reads = "state_action",
) -> Shown | None:
    """Return the steps that a signal may be about.

    Only steps up to the frame that the teacher saw count: nobody judges what they have not been shown.

    Args:
        entry: of a `Signal`.
        segments: that the journal names for it, in any order.
        across_episodes: whether it may be about an episode that ended before the frame.
        reads: what the model reads of each step.

    Returns:
        None where its steps, or its frame, or what the model reads of them, are lost.
    """
    signal = entry.event
    assert isinstance(signal, Signal)
    shown = sorted(
        ((showing.first_frame, segment, showing) for segment in segments if (showing := segment.showing)),
        key=lambda part: part[0],
    )
    steps = [steps_of(segment, reads) for _, segment, _ in shown]
    if not shown or any(len(action) < len(s) for (_, s, _), (_, action) in zip(shown, steps, strict=True)):
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
        observation_LO=np.concatenate([observation for observation, _ in steps])[seen_L][meant_L],
        action_LA=np.concatenate([action for _, action in steps])[seen_L][meant_L],
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


def credit_of(shown: Shown, delay: DelayDensity, *, smallest_share: float) -> Reals | None:
    """Return the credit of each step, [L], which adds up to 1; None where the signal finds no place.

    Args:
        shown: the steps.
        delay: of the signal's teacher.
        smallest_share: of the density that must fall on these steps.
    """
    credit_SL = credit(
        delay,
        press_S=np.array([shown.press]),
        begin_T=shown.begin_L,
        end_T=shown.end_L,
        episode_T=np.zeros(len(shown.begin_L), np.int64),
        shown_episode_S=None,
    )
    (credit_L,), (placed,) = place(credit_SL, smallest_share=smallest_share)
    return np.where(credit_L > _ROUNDING, credit_L, 0.0) if placed else None


def _seconds(showing: Showing) -> Reals:
    return np.asarray(showing.seconds, np.float64)
