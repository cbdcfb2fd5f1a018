"""The driver's side of stages: starts them, and hands them the newest policy. Nothing is waited for."""

from dataclasses import dataclass
from typing import Any

import ray

from cluster.newest import Newest, Published
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.rehearsal import Rehearsal
from cluster.stages.sharing import PolicySharer
from cluster.stages.stage import Stage
from hitl.events import Run
from hitl.reward.settings import InputSettings
from hitl.stages import own_stage_id

_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsing:
    """Whom stages play for while nobody watches."""

    trainer: Any
    """Handle of who chooses what is asked: the reward trainer, or the label reader."""
    publisher: Any
    """Handle of the publisher."""
    life: str
    """Of the driver."""
    segment_steps: int
    """Of a question's segments."""


class Company:
    """The stages of a run."""

    def __init__(
        self,
        *,
        address: str,
        token: str,
        run: Run,
        environment: EnvironmentConfig,
        model_config: dict[str, Any],
        settings: StagesConfig,
        acting: ActingConfig,
        imitation: ImitationConfig,
        rewards: Any,
        seeds: list[int],
        inputs: InputSettings | None = None,
        rehearsing: Rehearsing | None = None,
    ) -> None:
        """Start the stages; each comes back by itself when it dies, and goes on playing.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            environment: to play.
            model_config: of the policy's network.
            settings: of the stages.
            acting: who acts.
            imitation: when the policy asks for help.
            rewards: handle of the `Newest` that has the reward model.
            seeds: one for each.
            inputs: what the reward model reads.
            rehearsing: whom what they play while nobody watches is for; None: they stand still then.
        """
        again = {"num_cpus": 0, "max_restarts": -1}
        self._policies = ray.remote(Newest).options(**again).remote()
        plays = {
            "environment": environment,
            "model_config": model_config,
            "settings": settings,
            "acting": acting,
            "policies": self._policies,
            "rewards": rewards,
            "inputs": inputs,
        }
        self._rehearsals = [
            ray.remote(Rehearsal)
            .options(**again, max_concurrency=4)
            .remote(
                stage_id=own_stage_id(number),
                life=rehearsing.life,
                segment_steps=rehearsing.segment_steps,
                trainer=rehearsing.trainer,
                publisher=rehearsing.publisher,
                seed=seed,
                **plays,
            )
            for number, seed in enumerate(seeds)
            if rehearsing is not None
        ]
        self._stages = [
            ray.remote(Stage)
            .options(**again, max_task_retries=-1, max_concurrency=2)
            .remote(
                address=address,
                token=token,
                run=run,
                stage_id=own_stage_id(number),
                imitation=imitation,
                rehearsal=self._rehearsals[number] if self._rehearsals else None,
                seed=seed,
                **plays,
            )
            for number, seed in enumerate(seeds)
        ]
        self._sharer = None
        if settings.driven:
            self._sharer = (
                ray.remote(PolicySharer)
                .options(**again, max_task_retries=-1, max_concurrency=2)
                .remote(
                    address=address,
                    token=token,
                    run=run,
                    policies=self._policies,
                    rewards=rewards,
                    model_config=model_config,
                    acting=acting.settings,
                    inputs=inputs,
                )
            )
        self._playing = [actor.play.remote() for actor in (*self._stages, *self._rehearsals)]
        self._sharing = self._sharer.share.remote() if self._sharer else None

    def show_policy(self, version: int, weights: ray.ObjectRef, *, reward_weight: float) -> None:
        """Let the stages act by newer weights, as soon as they look."""
        published = Published(version=version, boxed=[weights], reward_weight=reward_weight)
        self._policies.publish.remote(published)

    def stop(self) -> None:
        """End the stages; what they have shown is stored first."""
        for actor in (*self._stages, *self._rehearsals):
            actor.end.remote()
        ray.wait(self._playing, num_returns=len(self._playing), timeout=_END_SECONDS)
        for actor in (*self._stages, *self._rehearsals, self._policies, self._sharer):
            if actor is not None:
                ray.kill(actor)
