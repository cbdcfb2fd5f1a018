"""Segments that could be asked about: windows cut from rollouts.

Axis suffixes: T step, N environment, S segment, L step of a segment, X environment step of a column,
O observation, A action.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Outcome, Segment, StepAddress
from hitl.reward.evidence.rows import Observations, steps_of
from hitl.reward.settings import Reads
from policies.experience import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where a candidate segment lies in its rollout."""

    row_L: NDArray[np.int64]
    """Row of each of its steps; a row that stands for many steps comes as often as the segment shows it."""
    column: int
    segment: Segment


def cut(
    rollout: Rollout,
    *,
    steps: int,
    task_id: str,
    run_id: str,
    rng: np.random.Generator,
    outcomes: bool = False,
) -> list[Window]:
    """Cut a rollout into segments that do not overlap, each within one episode.

    Of a row that stands for many steps only so many as one segment shows are cut: the others show the same.

    Args:
        rollout: one env runner's.
        steps: length of each segment.
        task_id: of the environment.
        run_id: of the run.
        rng: shifts the cuts of each column, so that no step of an episode is preferred.
        outcomes: say where the last step of each led to, for a reward model that reads what follows.
    """
    following_TNO = rollout.next_observation_TNO if outcomes else None
    windows: list[Window] = []
    rows, columns = rollout.step_TN.shape
    shown_TN = np.minimum(rollout.duration_TN, steps)
    for column in range(columns):
        row_X = np.repeat(np.arange(rows), shown_TN[:, column])
        episode_X = rollout.episode_TN[row_X, column]
        first = int(rng.integers(0, min(steps, rows - steps + 1)))
        while first + steps <= len(row_X):
            if episode_X[first] != episode_X[first + steps - 1]:
                first += 1
            else:
                into_row = first - int(np.searchsorted(row_X, row_X[first]))
                begin = int(rollout.step_TN[row_X[first], column]) + into_row
                row_L = row_X[first : first + steps]
                windows.append(_window(rollout, row_L, column, begin, task_id, run_id, following_TNO))
                first += steps
    return windows


def _window(
    rollout: Rollout,
    row_L: NDArray[np.int64],
    column: int,
    begin: int,
    task_id: str,
    run_id: str,
    following_TNO: Observations | None,
) -> Window:
    episode, end = int(rollout.episode_TN[row_L[0], column]), begin + len(row_L)
    segment = Segment(
        segment_id=f"{rollout.source}/{episode}/{begin}-{end}",
        address=StepAddress(
            task_id=task_id,
            run_id=run_id,
            source=rollout.source,
            episode=episode,
            begin=begin,
            end=end,
        ),
        observations={"obs": rollout.observation_TNO[row_L, column]},
        actions=rollout.action_TNA[row_L, column],
        policy_version=rollout.policy_version,
        outcome=None if following_TNO is None else _outcome(rollout, following_TNO, row_L[-1], column, end),
    )
    return Window(row_L=row_L, column=column, segment=segment)


def _outcome(rollout: Rollout, following_TNO: Observations, row: int, column: int, end: int) -> Outcome:
    """Say where the step before `end` led to; within a row that stands for many steps nothing ends, or moves."""
    row_ends = end == int(rollout.step_TN[row, column] + rollout.duration_TN[row, column])
    led_to = following_TNO if row_ends else rollout.observation_TNO
    return Outcome(
        observations={"obs": led_to[row, column]},
        terminated=row_ends and bool(rollout.terminated_TN[row, column]),
        truncated=row_ends and bool(rollout.truncated_TN[row, column]),
    )


def stack(segments: list[Segment], reads: Reads = "state_action") -> tuple[Observations, NDArray[Any]]:
    """Put segments of equal length into arrays: observations [S, L, O] and actions [S, L, ...]; see `steps_of`."""
    steps = [steps_of(segment, reads) for segment in segments]
    return np.stack([observation for observation, _ in steps]), np.stack([action for _, action in steps])
