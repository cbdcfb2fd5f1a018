"""Segments that could be asked about: windows cut from rollouts.

Axis suffixes: T step, N environment, S segment, L step of a segment, O observation, A action.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.events import Segment, StepAddress
from policies.experience import Actor, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where a candidate segment lies in its rollout."""

    first_row: int
    column: int
    segment: Segment


def cut(rollout: Rollout, *, steps: int, task_id: str, run_id: str, rng: np.random.Generator) -> list[Window]:
    """Cut a rollout into segments that do not overlap, each within one episode.

    Where an episode ended early and stands still until its horizon, only the segment right after the end is cut:
    all later ones show the same.

    Args:
        rollout: one env runner's.
        steps: length of each segment.
        task_id: of the environment.
        run_id: of the run.
        rng: shifts the cuts of each column, so that no step of an episode is preferred.
    """
    windows: list[Window] = []
    rows, columns = rollout.step_TN.shape
    for column in range(columns):
        first = int(rng.integers(0, min(steps, rows - steps + 1)))
        while first + steps <= rows:
            begin = int(rollout.step_TN[first, column])
            last = first + steps - 1
            if rollout.episode_TN[first, column] != rollout.episode_TN[last, column]:
                first += 1
            elif _shows_nothing_new(rollout, first, steps, column):
                first += steps
            else:
                windows.append(_window(rollout, first, column, begin, steps, task_id, run_id))
                first += steps
    return windows


def _shows_nothing_new(rollout: Rollout, first: int, steps: int, column: int) -> bool:
    idle = rollout.actor_TN[max(first - steps, 0) : first + steps, column] == Actor.NOBODY
    return bool(idle.all())


def _window(
    rollout: Rollout, first: int, column: int, begin: int, steps: int, task_id: str, run_id: str
) -> Window:
    episode = int(rollout.episode_TN[first, column])
    rows = slice(first, first + steps)
    segment = Segment(
        segment_id=f"{rollout.source}/{episode}/{begin}-{begin + steps}",
        address=StepAddress(
            task_id=task_id,
            run_id=run_id,
            source=rollout.source,
            episode=episode,
            begin=begin,
            end=begin + steps,
        ),
        observations={"obs": rollout.observation_TNO[rows, column]},
        actions=rollout.action_TNA[rows, column],
        policy_version=rollout.policy_version,
    )
    return Window(first_row=first, column=column, segment=segment)


def stack(segments: list[Segment]) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Put segments of equal length into arrays: observations [S, L, O] and actions [S, L, ...]."""
    observation = [np.asarray(s.observations["obs"], np.float32).reshape(len(s), -1) for s in segments]
    return np.stack(observation), np.stack([np.asarray(s.actions) for s in segments])
