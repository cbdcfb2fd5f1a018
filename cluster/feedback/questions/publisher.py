"""The publisher: sends chosen segments and questions to the feedback service, off the hot path.

It is the one place of the cluster where a segment and its true reward meet. Env runners hand it references to the true
reward of their rollouts; it passes the rewards on to the service, which gives them to oracles alone. Learner and reward
trainer never see them. Stages hand it what they have played, too, and it has them render what is asked about.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from hitl.client.training import TrainingClient
from hitl.events import Question, Run, Segment
from hitl.reward.questions import candidates
from hitl.stages import Clip
from hitl.tensors import Array
from policies.experience import Rollout

logger = logging.getLogger(__name__)

_RENDER_SECONDS = 60.0
"""A stage that needs longer hangs: it is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """A segment, and where in which rollout it lies."""

    segment: Segment
    rollout: str
    """Name of the rollout: the hexadecimal id of its reference."""
    row_L: NDArray[np.int64]
    """Row of each of its steps."""
    column: int


def cuttings_of(
    rollouts: Iterable[tuple[str, Rollout]],
    *,
    steps: int,
    run: Run,
    rng: np.random.Generator,
    outcomes: bool = False,
) -> list[Cutting]:
    """Cut rollouts, each with its name, into segments of so many steps; see `hitl.reward.questions.candidates.cut`."""
    return [
        Cutting(segment=window.segment, rollout=name, row_L=window.row_L, column=window.column)
        for name, rollout in rollouts
        for window in candidates.cut(
            rollout, steps=steps, task_id=run.task_id, run_id=run.run_id, rng=rng, outcomes=outcomes
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What has become of questions."""

    question_ids: list[str]
    """Of those that were asked."""
    without_clip: int = 0
    """Segments that were asked about though their stage could not render them."""


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
        self._stages: dict[str, Any] = {}
        """Which can render a rollout, by its name."""

    def remember(self, true_rewards: dict[str, list[ray.ObjectRef]], *, stage: Any = None) -> None:
        """Take boxed references to true rewards, float32[T, N], by the name of their rollout.

        Args:
            true_rewards: the references.
            stage: handle of the actor that has played the rollouts and can render them.
        """
        for name, boxed in true_rewards.items():
            self._true_rewards[name] = boxed[0]
            self._true_rewards.move_to_end(name)
            if stage is not None:
                self._stages[name] = stage
        while len(self._true_rewards) > self._keep:
            name, _ = self._true_rewards.popitem(last=False)
            self._stages.pop(name, None)

    def ask(self, questions: Sequence[Question], cuttings: Sequence[Cutting]) -> Asked:
        """Publish the segments with their clips, then ask; a question may be about segments that were published before.

        A question whose segment has lost its true reward (what played it died) is not asked; one whose stage dies
        after that, or cannot render it, is asked without its clip.
        """
        rewards = {cutting.segment.segment_id: self._rewards_of(cutting) for cutting in cuttings}
        known = [c for c in cuttings if rewards[c.segment.segment_id] is not None]
        lost = {segment_id for segment_id, reward in rewards.items() if reward is None}
        possible = [question for question in questions if lost.isdisjoint(question.segment_ids)]
        of_stages = {c.segment.segment_id: c for c in known if c.rollout in self._stages}
        clips = self._clips_of(of_stages)
        self._client.publish_segments(
            self._run, [(c.segment, rewards[c.segment.segment_id]) for c in known], clips=clips
        )
        if possible:
            self._client.ask(self._run, possible)
        return Asked(
            question_ids=[question.question_id for question in possible],
            without_clip=len(of_stages) - len(clips),
        )

    def _clips_of(self, cuttings: dict[str, Cutting]) -> dict[str, Clip]:
        """Have stages render segments; those that cannot be rendered, or not in time, are left out."""
        rendering = {
            segment_id: self._stages[cutting.rollout].render.remote(cutting.segment.address)
            for segment_id, cutting in cuttings.items()
        }
        if rendering:
            ray.wait(list(rendering.values()), num_returns=len(rendering), timeout=_RENDER_SECONDS)
        clips = {}
        for segment_id, reference in rendering.items():
            try:
                clip: Clip | None = ray.get(reference, timeout=0)
            except (ray.exceptions.RayError, TimeoutError) as error:
                logger.warning("segment %s has no clip: %s", segment_id, str(error).splitlines()[0])
                continue
            if clip is not None:
                clips[segment_id] = clip
        return clips

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
