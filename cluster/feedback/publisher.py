"""The publisher: sends chosen segments and questions to the feedback service, off the hot path.

It is the one place of the cluster where a segment and its true reward meet. Env runners hand it references to the true
reward of their rollouts; it passes the rewards on to the service, which gives them to oracles alone. Learner and reward
trainer never see them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import ray
from numpy.typing import NDArray

from hitl.client.training import TrainingClient
from hitl.events import Question, Run, Segment
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """A segment, and where in which rollout it lies."""

    segment: Segment
    rollout: str
    """Name of the rollout: the hexadecimal id of its reference."""
    row_L: NDArray[np.int64]
    """Row of each of its steps."""
    column: int


class Publisher:
    """Keeps references to the newest true rewards and publishes."""

    def __init__(self, *, address: str, token: str, run: Run, keep: int) -> None:
        """Connect.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            keep: how many rollouts' true rewards to remember.
        """
        self._client = TrainingClient(address, token)
        self._run = run
        self._keep = keep
        self._true_rewards: OrderedDict[str, ray.ObjectRef] = OrderedDict()

    def remember(self, true_rewards: dict[str, list[ray.ObjectRef]]) -> None:
        """Take boxed references to true rewards, float32[T, N], by the name of their rollout."""
        for name, boxed in true_rewards.items():
            self._true_rewards[name] = boxed[0]
        while len(self._true_rewards) > self._keep:
            self._true_rewards.popitem(last=False)

    def ask(self, questions: Sequence[Question], cuttings: Sequence[Cutting]) -> list[str]:
        """Publish the segments, then ask; returns the ids of the questions asked.

        A question whose segment has lost its true reward (its env runner died) is not asked.
        """
        rewards = {cutting.segment.segment_id: self._rewards_of(cutting) for cutting in cuttings}
        known = [c for c in cuttings if rewards[c.segment.segment_id] is not None]
        ids = {cutting.segment.segment_id for cutting in known}
        possible = [question for question in questions if ids.issuperset(question.segment_ids)]
        self._client.publish_segments(self._run, [(c.segment, rewards[c.segment.segment_id]) for c in known])
        if possible:
            self._client.ask(self._run, possible)
        return [question.question_id for question in possible]

    def _rewards_of(self, cutting: Cutting) -> Array | None:
        reference = self._true_rewards.get(cutting.rollout)
        if reference is None:
            return None
        try:
            true_reward_TN: Array = ray.get(reference)
        except ray.exceptions.RayError:
            return None
        rewards: Array = true_reward_TN[cutting.row_L, cutting.column]
        return rewards
