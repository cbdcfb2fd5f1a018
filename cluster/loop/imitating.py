"""The driver's side of imitation: which round it is, what the expert does in it, and the newest labels."""

from dataclasses import dataclass
from typing import Any, Self

import ray

from cluster.feedback.label_reader import LabelReader, LabelsState
from cluster.feedback.questions.asking import ANSWER_SECONDS
from cluster.feedback.questions.publisher import Publisher
from cluster.feedback.questions.relabelling import RelabelSettings
from cluster.feedback.service import FeedbackLink
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.rollouts.env_runner import Sample
from cluster.newest import Published
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.section import annealed
from cluster.stages.rehearsal import KEPT_ROLLOUTS
from hitl.errors import ConfigError

_KEPT_BATCHES = 3
"""Whose true rewards are kept; questions are about the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What questions to people follow from, beside the settings."""

    name: str
    """Of the driver's life."""
    seed: int
    lockstep: bool
    model_config: dict[str, Any]
    """Keyword arguments of `ActorCritic`."""
    kept_rollouts: int
    """Whose true rewards are remembered, for oracles."""

    @classmethod
    def of(cls, config: HITLConfig) -> Self:
        """Return what a run's settings say of it.

        Raises:
            ConfigError: questions shall have clips, but there are no stages to render them, or it is a run in lockstep.
        """
        clips, played = config.imitation.questions.clips, KEPT_ROLLOUTS * config.stages.count
        if clips and (config.lockstep or not config.stages.count):
            raise ConfigError(
                "questions with clips are about what stages play: they need some, and no lockstep"
            )
        return cls(
            name=config.life,
            seed=config.seed_for("label reader"),
            lockstep=config.lockstep,
            model_config=config.model_config,
            kept_rollouts=played if clips else _KEPT_BATCHES * max(config.num_env_runners, 1),
        )


class Imitating:
    """What the driver knows of labels."""

    def __init__(
        self,
        settings: ImitationConfig,
        spaces: tuple[Any, Any],
        link: FeedbackLink | None,
        life: Life | None = None,
    ) -> None:
        """Start the reader, and the publisher where people are asked; they come back by themselves when they die.

        In lockstep with questions the whole life ends with the reader: one that comes back alone has not lived through
        the same.

        Args:
            settings: of the run.
            spaces: of observations and of actions.
            link: to what people say; None where nobody does.
            life: who asks; None where nobody is asked.

        Raises:
            ConfigError: demonstrations are not there, are of another task, or are damaged.
        """
        self._settings = settings
        again = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        self.publisher: Any = None
        """Handle of the actor that asks; None where nobody is asked."""
        asks: RelabelSettings | None = None
        if settings.asks_people and link is not None and life is not None:
            self.publisher = (
                ray.remote(Publisher)
                .options(**again)
                .remote(address=link.address, token=link.token, run=link.run, keep=life.kept_rollouts)
            )
            asks = RelabelSettings(
                questions=settings.questions,
                publisher=self.publisher,
                life=life.name,
                seed=life.seed,
                lockstep=life.lockstep,
                answer_seconds=ANSWER_SECONDS,
                model_config=life.model_config,
            )
        self._asks = asks
        lasts = {"max_restarts": 0, "max_task_retries": 0} if asks and asks.lockstep else {}
        self.reader = (
            ray.remote(LabelReader)
            .options(**again | lasts)
            .remote(
                *spaces,
                heldout_share=settings.heldout_share,
                most_labels=settings.most_labels,
                link=link,
                demonstrations=settings.demonstrations,
                asks=asks,
            )
        )
        self._learnt = 0
        """The version that was learnt to the end."""
        self.state = LabelsState(newest=None, labels=0, demonstrated=self._read_demonstrations())
        """When the reader last answered."""

    def _read_demonstrations(self) -> int:
        try:
            count: int = ray.get(self.reader.read_demonstrations.remote())
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

    def take(
        self, samples: list[Sample], *, env_steps: int = 0, weights: ray.ObjectRef | None = None
    ) -> Published | None:
        """Hand on a batch's rollouts; returns the newest labels, None before the first.

        Args:
            samples: the batch.
            env_steps: of the run, with it.
            weights: of the policy and its committee.
        """
        if self._asks and not self._settings.questions.clips:
            known = self.publisher.remember.remote({s.rollout.hex(): [s.true_reward] for s in samples})
            if self._asks.lockstep:
                ray.get(known)
        taken = self.reader.take.remote(
            [[sample.rollout] for sample in samples],
            env_steps=env_steps,
            weights=[weights] if self._asks and weights is not None else None,
        )
        self.state = ray.get(taken)
        return self.state.newest

    def begin_anew(self, seed: int) -> None:
        """In lockstep, make what is asked a function of what a checkpoint holds and of a seed."""
        if self._asks and self._asks.lockstep:
            ray.get(self.reader.begin_anew.remote(seed))

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {
            "reader": ray.get(self.reader.get_state.remote()),
            "learnt": self._learnt,
            "demonstrated": self.state.demonstrated,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there; what was learnt is not learnt again unless there are other demonstrations now."""
        ray.get(self.reader.set_state.remote(state["reader"]))
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
        """End the actors."""
        for actor in (self.reader, self.publisher):
            if actor is not None:
                ray.kill(actor)
