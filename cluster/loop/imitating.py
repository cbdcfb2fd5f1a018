"""The driver's side of imitation: which round it is, what the expert does in it, and the newest labels."""

from typing import Any

import ray

from cluster.feedback.label_reader import LabelReader, LabelsState
from cluster.feedback.service import FeedbackLink
from cluster.loop.env_runner import Sample
from cluster.newest import Published
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.section import annealed


class Imitating:
    """What the driver knows of labels."""

    def __init__(self, settings: ImitationConfig, spaces: tuple[Any, Any], link: FeedbackLink | None) -> None:
        """Start the reader; it comes back by itself when it dies.

        Args:
            settings: of the run.
            spaces: of observations and of actions.
            link: to what people correct; None where nobody does.

        Raises:
            ConfigError: demonstrations are not there, are of another task, or are damaged.
        """
        self._settings = settings
        self._reader = (
            ray.remote(LabelReader)
            .options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
            .remote(
                *spaces,
                heldout_share=settings.heldout_share,
                most_labels=settings.most_labels,
                link=link,
                demonstrations=settings.demonstrations,
            )
        )
        self._learnt = 0
        """The version that was learnt to the end."""
        self.state = LabelsState(newest=None, labels=0, demonstrated=self._read_demonstrations())
        """When the reader last answered."""

    def _read_demonstrations(self) -> int:
        try:
            count: int = ray.get(self._reader.read_demonstrations.remote())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return count

    def beta(self, rounds_done: int) -> float:
        """Return how much the expert acts in the round after so many."""
        return self._settings.beta(rounds_done + 1) if self.is_asked else 0.0

    @property
    def is_asked(self) -> bool:
        """Whether the expert is asked: there is one, and it has labels left to give."""
        budget = self._settings.budget
        return bool(self._settings.expert) and (budget is None or self.state.labels < budget)

    def weight(self, env_steps: int) -> float:
        """Return what the imitation loss counts beside the policy's objective after so many environment steps."""
        return annealed(self._settings.weight, self._settings.until_env_steps, env_steps)

    def take(self, samples: list[Sample]) -> Published | None:
        """Hand on a batch's rollouts; returns the newest labels, None before the first."""
        self.state = ray.get(self._reader.take.remote([[sample.rollout] for sample in samples]))
        return self.state.newest

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {
            "reader": ray.get(self._reader.get_state.remote()),
            "learnt": self._learnt,
            "demonstrated": self.state.demonstrated,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there; what was learnt is not learnt again unless there are other demonstrations now."""
        ray.get(self._reader.set_state.remote(state["reader"]))
        if state["demonstrated"] == self.state.demonstrated:
            self._learnt = state["learnt"]
        self.take([])

    def unlearnt(self, labels: Published | None) -> Published | None:
        """Return a version that has not been learnt to the end yet; it is from now on."""
        if labels is None or labels.version == self._learnt:
            return None
        self._learnt = labels.version
        return labels

    def stop(self) -> None:
        """End the reader."""
        ray.kill(self._reader)
