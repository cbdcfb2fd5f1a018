"""The episodes in a rollout: their numbers, steps and returns, over the edges of rollouts.

Axis suffixes: T step, N environment.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.experience import BoolArray, FloatArray, IntArray


class FinishedEpisode(NamedTuple):
    """An episode that ended during a rollout; a number for people, never for a learner of human feedback."""

    true_return: float
    steps: int


class Numbered(NamedTuple):
    """Where each row stands."""

    episode_TN: IntArray
    step_TN: IntArray
    finished: list[FinishedEpisode]


class Episodes:
    """Follows each environment's episodes from one rollout to the next."""

    def __init__(self, columns: int) -> None:
        self._episode_N = np.arange(columns, dtype=np.int64)
        self._next_episode = columns
        self._step_N = np.zeros(columns, np.int64)
        self._return_N = np.zeros(columns)

    def number(self, *, ended_TN: BoolArray, duration_TN: IntArray, reward_TN: FloatArray) -> Numbered:
        """Number the episodes and steps of the next rollout, and add up what its finished episodes earned.

        A row of duration 0 finishes nothing, though an episode ends there.
        """
        rows, columns = ended_TN.shape
        ends = np.nonzero(ended_TN)
        begins = (ends[0] + 1, ends[1])
        episode = np.zeros((rows + 1, columns), np.int64)
        episode[0] = self._episode_N
        episode[begins] = self._next_episode + np.arange(len(ends[0]))
        np.maximum.accumulate(episode, out=episode)
        first = np.zeros((rows + 1, columns), np.int64)
        first[begins] = begins[0]
        np.maximum.accumulate(first, out=first)
        step = _since(first, duration_TN, self._step_N)
        earned = _since(first, reward_TN.astype(np.float64), self._return_N)
        returns = (earned[:-1] + reward_TN)[ends].tolist()
        lengths = (step[:-1] + duration_TN)[ends].tolist()
        counts = (duration_TN[ends] > 0).tolist()
        self._episode_N, self._step_N, self._return_N = episode[-1], step[-1], earned[-1]
        self._next_episode += len(ends[0])
        return Numbered(
            episode_TN=episode[:-1],
            step_TN=step[:-1],
            finished=[
                FinishedEpisode(*ended)
                for ended, counted in zip(zip(returns, lengths, strict=True), counts, strict=True)
                if counted
            ],
        )


def _since(first: IntArray, value_TN: NDArray[Any], carried_N: NDArray[Any]) -> NDArray[Any]:
    """Add up a value from the beginning of each row's episode to right before the row, [T + 1, N].

    Args:
        first: row in which the episode began, [T + 1, N]; 0 also where it began in an earlier rollout.
        value_TN: what each row adds.
        carried_N: what earlier rollouts added.
    """
    total = np.concatenate([np.zeros_like(carried_N)[None], np.cumsum(value_TN, 0)])
    return total - np.where(first == 0, -carried_N, np.take_along_axis(total, first, 0))
