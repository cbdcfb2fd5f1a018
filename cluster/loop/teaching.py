"""The driver's side of teaching: starts reward trainer and publisher, feeds them rollouts, and fetches what is newest.

Everything is by reference and nothing is waited for, but in lockstep. A trainer that is away means "nothing newer".
"""

import logging
from dataclasses import asdict, replace
from typing import Any

import ray
import torch

from cluster.environments.making import spaces_of
from cluster.feedback.questions.asking import ANSWER_SECONDS, AskingState
from cluster.feedback.questions.publisher import Publisher
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.feedback.service import FeedbackLink
from cluster.feedback.teaching_state import TeachingState
from cluster.feedback.versions import Arrays
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.rollouts.env_runner import Sample
from cluster.loop.settings.derived_settings import signals_as_read
from cluster.newest import Newest, Published
from cluster.runs.reward.config import RewardConfig, actions_complaint
from cluster.stages.rehearsal import KEPT_ROLLOUTS
from hitl.errors import ConfigError
from hitl.reward.checks.alarms import AlarmState

logger = logging.getLogger(__name__)

_NOTHING = TeachingState(
    newest=None, asked=0, answered=0, report=None, refused=0, rollouts=True, unplaced_signals=0
)


class Teaching:
    """What the driver knows of the reward model."""

    def __init__(self, config: HITLConfig) -> None:
        """Start the actors; they come back by themselves when they die, but for a trainer in lockstep."""
        link = config.feedback_link
        if not isinstance(link, FeedbackLink):
            raise ConfigError(
                "a learned reward needs a feedback service: call .people(feedback=FeedbackService(...))"
            )
        observation_space, action_space = spaces_of(config.environment_config)
        self._clips = config.questions.clips
        if self._clips and (config.lockstep or not config.stages.count):
            raise ConfigError(
                "questions with clips are about what stages play: they need some, and no lockstep"
            )
        if complaint := actions_complaint(
            config.reward_model, config.signals, config.augmentation, acting=config.acting.kind
        ):
            raise ConfigError(complaint)
        again: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1}
        # In lockstep the whole life ends with the trainer: one that comes back alone has not lived through the same.
        trainer_again = again | ({"max_restarts": 0} if config.lockstep else {})
        if config.reward_model.device != "cpu" and torch.cuda.is_available():
            # It shares the learner's device, which Ray would hide from an actor that reserves none.
            trainer_again |= {"runtime_env": {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}}
        batches = config.questions.fresh_batches + 2
        self.publisher = (
            ray.remote(Publisher)
            .options(**again, max_task_retries=-1)
            .remote(
                address=link.address,
                token=link.token,
                run=link.run,
                keep=KEPT_ROLLOUTS * config.stages.count
                if self._clips
                else batches * max(config.num_env_runners, 1),
            )
        )
        self.board = ray.remote(Newest).options(**again).remote() if config.stages.are_open else None
        """Handle of the `Newest` that has the reward model for the stages."""
        self.trainer = (
            ray.remote(RewardTrainer)
            .options(**trainer_again, max_concurrency=4)
            .remote(
                address=link.address,
                token=link.token,
                run=link.run,
                observation_space=observation_space,
                action_space=action_space,
                reward=RewardConfig(
                    model=config.reward_model,
                    questions=config.questions,
                    signals=signals_as_read(config),
                    corrections=config.corrections,
                    demonstrations=config.demonstrations,
                    pretraining=config.pretraining,
                    guards=config.guards,
                    reliability=config.reliability,
                ),
                board=self.board,
                publisher=self.publisher,
                reads_from=link.reads_from,
                read_until=link.read_until if config.lockstep else None,
                life=config.life,
                seed=config.seed_for("reward trainer"),
                lockstep=config.lockstep,
                several_teachers=config.several_teachers,
            )
        )
        self._lockstep = config.lockstep
        self._on_alarm = config.guards.on_alarm
        self._initial_env_steps = config.questions.initial_env_steps
        self._env_steps = 0
        self._poll: ray.ObjectRef | None = None
        self._base: Published | None = None
        self._unseen = False
        self.state = _NOTHING
        """Where teaching stood when the trainer last answered."""

    @property
    def waiting(self) -> bool:
        """Whether the trainer has experience enough for the first questions and there is no reward yet."""
        return self._base is None and self._env_steps >= self._initial_env_steps and self.state.rollouts

    @property
    def freezes_policy(self) -> bool:
        """Whether an alarm holds, and the policy waits until it is over."""
        return self._on_alarm != "report" and self.state.alarms.reason is not None

    def thaw(self) -> None:
        """End an alarm, because a person says so."""
        self.state = replace(self.state, alarms=self.state.alarms.cleared())
        thawed = self.trainer.thaw.remote()
        if self._lockstep:
            ray.get(thawed)

    @property
    def version(self) -> int:
        """Of the newest reward model that the driver has; 0 before the first one."""
        return self._base.version if self._base else 0

    @property
    def newest_version(self) -> Published | None:
        """The newest reward model that the driver has."""
        return self._base

    def newest(self, samples: list[Sample], *, env_steps: int) -> "Teaching | None":
        """Hand on a batch's rollouts, and fetch a newer reward version if there is one.

        Returns:
            Itself once there is a reward at all, else None.
        """
        self._env_steps = env_steps
        rollouts = {sample.rollout.hex(): [sample.rollout] for sample in samples}
        if samples and not self._clips:
            self.publisher.remember.remote({s.rollout.hex(): [s.true_reward] for s in samples})
        if self._lockstep:
            self._take(
                ray.get(
                    self.trainer.advance.remote(
                        rollouts,
                        env_steps=env_steps,
                        base=self._base,
                        alarms=self.state.alarms,
                        timeout_seconds=ANSWER_SECONDS,
                    )
                )
            )
        else:
            if samples:
                self.trainer.observe.remote(
                    rollouts, env_steps=env_steps, base=self._base, alarms=self.state.alarms
                )
            self.look()
        return self if self._base else None

    def arrays(self) -> Arrays:
        """Return the newest reward model's arrays; empty before the first version."""
        return ray.get(self._base.boxed[0]) if self._base else {}

    def take_arrays(self) -> ray.ObjectRef | None:
        """Return a reference to the newest version's arrays, once; None where the learner has them."""
        if self._base is None or not self._unseen:
            return None
        self._unseen = False
        return self._base.boxed[0]

    def look(self) -> None:
        """Take note of where teaching stands, if the trainer has answered; nothing is waited for.

        Raises:
            RayTaskError: an error in the trainer has ended its work for good.
        """
        if self._lockstep:
            return
        if self._poll is None:
            self._poll = self.trainer.state.remote()
        ready, _ = ray.wait([self._poll], timeout=0)
        if not ready:
            return
        try:
            self._take(ray.get(self._poll))
        except ray.exceptions.RayTaskError:
            # It would go on with the reward that it has, as if nobody had said anything more.
            raise
        except ray.exceptions.RayError as error:
            logger.warning("the reward trainer is away: %s", str(error).splitlines()[0])
        self._poll = None

    def _take(self, state: TeachingState) -> None:
        if state.newest and state.newest.version > self.version:
            # A copy of our own: the trainer's dies with the trainer.
            self._keep(replace(state.newest, boxed=[ray.put(ray.get(state.newest.boxed[0]))]))
        # A trainer that came back has not seen what the one before it saw.
        newer = max(state.alarms, self.state.alarms, key=lambda alarms: alarms.batches)
        self.state = replace(state, alarms=newer)

    def _keep(self, published: Published) -> None:
        self._base, self._unseen = published, True

    def get_state(self) -> dict[str, Any] | None:
        """Return the newest version with its arrays, for a checkpoint."""
        if self._base is None:
            return None
        asking, kept = ray.get(self.trainer.get_state.remote()) if self._lockstep else (None, [])
        return {
            "version": self._base.version,
            "arrays": dict(self.arrays()),
            "asking": asking and asdict(asking),
            "alarms": self.state.alarms.to_state(),
            "kept": [dict(arrays) for arrays in kept],
        }

    def set_state(self, state: dict[str, Any], *, env_steps: int) -> None:
        """Go on from a checkpoint's version, made at so many steps."""
        published = Published(version=state["version"], boxed=[ray.put(state["arrays"])])
        self._keep(published)
        if "alarms" in state:
            self.state = replace(self.state, alarms=AlarmState.of_state(state["alarms"]))
        if self._lockstep:
            # A life that was not in lockstep asked by other ids: its answers are in the journal and count.
            asking = state.get("asking") or {"questions": 0, "last_round": env_steps}
            kept = state.get("kept", [])
            ray.get(self.trainer.set_state.remote(published, AskingState(**asking), kept))

    def begin_anew(self, seed: int) -> None:
        """In lockstep, make what follows a function of what a checkpoint holds and of a seed."""
        if self._lockstep:
            ray.get(self.trainer.begin_anew.remote(seed))

    def stop(self) -> None:
        """End the actors."""
        for actor in (self.trainer, self.publisher, self.board):
            if actor is not None:
                ray.kill(actor)
