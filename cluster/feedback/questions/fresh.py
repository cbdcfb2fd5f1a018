"""The newest rollouts, as far as questions can use them: of env runners, and of stages that nobody watches."""

from collections import deque

import numpy as np
import ray
from numpy.typing import NDArray

from hitl.reward.evidence.rows import Observations
from policies.experience import Rollout

Named = tuple[str, Rollout]
"""A rollout and its name: the hexadecimal id of its reference."""


class FreshRollouts:
    """What can be asked about, and what the scale of rewards is taken from."""

    def __init__(self, *, clips: bool, batches: int) -> None:
        """Begin without any.

        Args:
            clips: whether questions are about what stages can render.
            batches: of env runners that are kept.
        """
        self._clips = clips
        self._batches: deque[list[Named]] = deque(maxlen=batches)
        self.batches = 0
        """That env runners have gathered, also before a `clear`."""
        self._played: dict[str, dict[str, Rollout]] = {}
        """By the stage: a stage has rendered nothing yet of what it plays for questions, and can do so later."""

    def add_batch(self, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        """Take a batch of env runners: boxed references by name."""
        if batch := [(name, ray.get(boxed[0])) for name, boxed in rollouts.items()]:
            self._batches.append(batch)
            self.batches += 1

    def show_played(self, stage_id: str, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        """Take all that a stage can render: boxed references by name, in the place of what it could before."""
        known = self._played.get(stage_id, {})
        self._played[stage_id] = {
            name: known[name] if name in known else ray.get(boxed[0]) for name, boxed in rollouts.items()
        }

    def clear(self) -> None:
        """Forget all."""
        self._batches.clear()

    @property
    def has_batches(self) -> bool:
        """Whether env runners have gathered anything that is still here."""
        return bool(self._batches)

    def newest_batch(self) -> list[Named]:
        """Return the newest rollouts of env runners; none where there are none."""
        return [named for batch in list(self._batches)[-1:] for named in batch]

    def to_ask_about(self, *, newest: bool = False) -> list[Named]:
        """Return what segments are cut from: what stages can render, where questions have clips.

        Args:
            newest: of env runners, their newest batch alone.
        """
        if self._clips:
            return [named for played in list(self._played.values()) for named in played.items()]
        return self.newest_batch() if newest else self.gathered

    @property
    def gathered(self) -> list[Named]:
        """What env runners have gathered."""
        return [named for batch in list(self._batches) for named in batch]

    def draw_steps(
        self, most: int, rng: np.random.Generator, *, with_next: bool = False, newest: bool = False
    ) -> tuple[Observations, NDArray[np.generic]]:
        """Draw at most so many steps of env runners, P of them: observations [P, O] and actions [P, ...].

        What followed each stands behind its observation if it is wanted. `newest`: of the newest batch alone.
        """
        rollouts = [rollout for _, rollout in (self.newest_batch() if newest else self.gathered)]
        observation = np.concatenate([r.observation_TNO[:-1].reshape(r.steps, -1) for r in rollouts])
        if with_next:
            following = np.concatenate([r.next_observation_TNO.reshape(r.steps, -1) for r in rollouts])
            observation = np.concatenate([observation, following], 1)
        action = np.concatenate([r.action_TNA.reshape(r.steps, *r.action_TNA.shape[2:]) for r in rollouts])
        counted = np.flatnonzero(np.concatenate([r.duration_TN.ravel() for r in rollouts]))
        rows = rng.choice(counted, min(most, len(counted)), replace=False)
        return observation[rows], action[rows]
