"""What a teacher can be asked about: segments of the newest rollouts, with true rewards that the learner never sees."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.loop.rollouts.collector import Collected
from hitl.events import Segment
from hitl.reward.questions.candidates import cut

_PROBE_STEPS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A segment, and what a teacher sees of it."""

    segment: Segment
    true_reward_L: NDArray[np.float32]

    @property
    def is_up_L(self) -> NDArray[np.bool_]:
        """The pole is up, so that something can be done."""
        return self.true_reward_L > 0

    @property
    def true_return(self) -> float:
        """The sum of its true rewards."""
        return float(self.true_reward_L.sum(dtype=np.float64))


class Experience:
    """The newest batches of rollouts."""

    def __init__(self, *, batches: int) -> None:
        """Begin without any; so many are kept."""
        self._newest: deque[Collected] = deque(maxlen=batches)

    def add(self, collected: Collected) -> None:
        """Take a batch."""
        self._newest.append(collected)

    def candidates(self, *, steps: int, rng: np.random.Generator) -> list[Candidate]:
        """Cut all that is kept into segments of so many steps, as a run does."""
        return [
            Candidate(
                segment=window.segment,
                true_reward_L=collected.true_reward_TN[window.row_L, window.column],
            )
            for collected in self._newest
            for window in cut(collected.rollout, steps=steps, task_id="task", run_id="run", rng=rng)
        ]

    def probe(self, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw steps that fix the scale of rewards: observations [P, O] and actions [P]."""
        rollouts = [collected.rollout for collected in self._newest]
        observation_PO = np.concatenate([r.observation_TNO[:-1].reshape(r.steps, -1) for r in rollouts])
        action_P = np.concatenate([r.action_TNA.reshape(r.steps) for r in rollouts])
        rows = rng.choice(len(action_P), min(_PROBE_STEPS, len(action_P)), replace=False)
        return observation_PO[rows], action_P[rows]
