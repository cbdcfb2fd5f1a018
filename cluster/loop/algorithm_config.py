"""`HITLConfig`: RLlib's config builder with what training by people adds.

RLlib's own sections keep their meaning (`environment`, `env_runners`, `training`, `learners`, `debugging`, ...), and
settings without one here are refused, so Tune sweeps over it as over any other; `from_run` makes one from a run file.
"""

import hashlib
from typing import Any, Self

from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from cluster.feedback.service import FeedbackLink
from cluster.loop.learning.device import Device, choose_device
from cluster.loop.settings.derived_settings import (
    environment_config,
    life_of,
    update_settings,
    vectorize_mode,
)
from cluster.loop.settings.people_config import PeopleConfig
from cluster.loop.settings.unread_settings import unread_setting
from cluster.runs.config import EnvironmentConfig, PolicyConfig, RunConfig
from cluster.runs.learner_config import ObjectiveConfig, policy_complaint
from policies.rllib_module import ActorCriticModule
from policies.settings import PrecisionName, UpdateSettings


class HITLConfig(PeopleConfig):
    """Settings of `HITL`: by default PPO on the environment's reward alone."""

    def __init__(self, algo_class: Any = None) -> None:
        from cluster.loop.algorithm import HITL
        from cluster.loop.learning.learner import HITLLearner
        from cluster.loop.rollouts.env_runner import HITLEnvRunner

        super().__init__(algo_class=algo_class or HITL)
        self.env_runner_cls = HITLEnvRunner
        self._learner_class = HITLLearner
        self.num_env_runners = 1
        self.num_envs_per_env_runner = 32
        self.rollout_fragment_length = 128
        self.sample_timeout_s = 60.0
        self.give_up_s = 600.0
        self.step_timeout_s = 60.0
        self.delay_between_env_runner_restarts_s = 0.0
        self.merge_env_runner_states = False
        self._dont_auto_sync_env_runner_states = True
        self.create_local_env_runner = False
        self.lr = 3e-4
        self.minibatch_size = 256
        self.num_epochs = 4
        self.grad_clip = 0.5
        self.lambda_ = 0.95
        self.clip_param = 0.2
        self.vf_loss_coeff = 0.5
        self.entropy_coeff = 0.0
        self.anneal_over_env_steps: int | None = None
        self.objective = ObjectiveConfig()
        self.precision: PrecisionName = "float32"
        self._model_config = PolicyConfig().model_dump()
        self.lockstep, self.several_teachers = False, False
        self.max_policy_lag = 2
        self.fixed_horizon: int | None = None
        self.allow_variable_horizon = False
        self.least_update_s = 0.0
        self.learner_device: Device | None = None

    @classmethod
    def from_run(cls, run: RunConfig, feedback: FeedbackLink | None = None) -> "HITLConfig":
        """Make the settings that a run file describes."""
        learner, rollouts = run.learner, run.rollouts
        config = cls()
        config.environment(run.environment.id, env_config=dict(run.environment.kwargs))
        config.env_runners(
            num_env_runners=rollouts.env_runners,
            num_envs_per_env_runner=rollouts.envs_per_runner,
            rollout_fragment_length=rollouts.steps,
            sample_timeout_s=rollouts.timeout_seconds,
            give_up_s=rollouts.give_up_seconds,
            least_update_s=rollouts.least_update_seconds,
            gym_env_vectorize_mode=vectorize_mode(run.environment),
            step_timeout_s=run.environment.step_timeout_seconds,
        )
        config.training(
            lr=learner.learning_rate,
            gamma=learner.discount,
            minibatch_size=learner.minibatch_size,
            num_epochs=learner.epochs,
            grad_clip=learner.max_gradient_norm,
            lambda_=learner.gae_lambda,
            clip_param=learner.clip,
            vf_loss_coeff=learner.value_coefficient,
            entropy_coeff=learner.entropy_coefficient,
            anneal_over_env_steps=run.stop.env_steps if learner.anneal_learning_rate else None,
            objective=ObjectiveConfig(
                **{name: getattr(learner, name) for name in ObjectiveConfig.model_fields}
            ),
        )
        config.rl_module(model_config=run.policy.model_dump())
        config.debugging(seed=run.seed)
        config.order(lockstep=run.mode == "lockstep", several_teachers=len(run.teachers.who_answer) > 1)
        config.horizon(
            fixed=run.environment.fixed_horizon, allow_variable=run.environment.allow_variable_horizon
        )
        config.people(
            sources=run.reward.sources,
            intrinsic=run.reward.intrinsic,
            model=run.reward.model,
            questions=run.reward.questions,
            signals=run.reward.signals,
            augmentation=run.reward.augmentation,
            corrections=run.reward.corrections,
            guards=run.reward.guards,
            demonstrations=run.reward.demonstrations,
            pretraining=run.reward.pretraining,
            reliability=run.reward.reliability.beside(programs_at_once=run.teachers.answer_at_once),
            stages=run.stages,
            acting=run.acting,
            feedback=feedback,
        )
        config.experts(run.imitation)
        config.learner_device = choose_device(run, config.update_settings)
        on_cuda = config.learner_device.name == "cuda"
        config.learners(num_learners=learner.learners, num_gpus_per_learner=int(on_cuda))
        config.training(precision=config.learner_device.precision)
        return config

    def training(
        self,
        *,
        lambda_: float | None = None,
        clip_param: float | None = None,
        vf_loss_coeff: float | None = None,
        entropy_coeff: float | None = None,
        anneal_over_env_steps: int | None = None,
        objective: ObjectiveConfig | None = None,
        precision: PrecisionName | None = None,
        **kwargs: Any,
    ) -> Self:
        """Set what the learner does; the names are those of RLlib's PPO, but for the objective.

        Args:
            lambda_: of the advantage estimate.
            clip_param: epsilon of PPO's clipped surrogate.
            vf_loss_coeff: weight of the critic's loss.
            entropy_coeff: weight of the entropy bonus.
            anneal_over_env_steps: lower the learning rate linearly to 0 over so many steps.
            objective: what the policy maximises.
            precision: of convolutions while they learn.
            **kwargs: lr, gamma, minibatch_size, num_epochs, grad_clip and RLlib's other ones.
        """
        super().training(**kwargs)
        own = {
            "lambda_": lambda_,
            "clip_param": clip_param,
            "vf_loss_coeff": vf_loss_coeff,
            "entropy_coeff": entropy_coeff,
            "anneal_over_env_steps": anneal_over_env_steps,
            "objective": objective,
            "precision": precision,
        }
        for name, value in own.items():
            if value is not None:
                setattr(self, name, value)
        return self

    def env_runners(
        self,
        *,
        step_timeout_s: float | None = None,
        give_up_s: float | None = None,
        least_update_s: float | None = None,
        **kwargs: Any,
    ) -> Self:
        """Set how experience is gathered.

        Args:
            step_timeout_s: how long a step may take, where gym_env_vectorize_mode is "async".
            give_up_s: how long a rollout may take before its env runner is ended and made anew.
            least_update_s: how long an update takes at least.
            **kwargs: RLlib's own ones; a batch waits sample_timeout_s for an env runner.
        """
        super().env_runners(**kwargs)
        self.step_timeout_s = self.step_timeout_s if step_timeout_s is None else step_timeout_s
        self.give_up_s = self.give_up_s if give_up_s is None else give_up_s
        self.least_update_s = self.least_update_s if least_update_s is None else least_update_s
        return self

    def order(self, *, lockstep: bool, several_teachers: bool = False) -> Self:
        """Choose between overlapped sampling and learning (fast) and lockstep (a function of the seed).

        Lockstep waits for all second answers where the run itself starts several teachers.
        """
        self.lockstep, self.several_teachers = lockstep, several_teachers
        return self

    def horizon(self, *, fixed: int | None = None, allow_variable: bool = False) -> Self:
        """Give every episode the same length; a learned reward needs it where episodes can end early."""
        self.fixed_horizon = fixed
        self.allow_variable_horizon = allow_variable
        return self

    @property
    def environment_config(self) -> EnvironmentConfig:
        """The environment as `cluster.environments.making` makes it."""
        return environment_config(self)

    @property
    def update_settings(self) -> UpdateSettings:
        """The numbers of an update."""
        return update_settings(self)

    @property
    def life(self) -> str:
        """Names what is shown and asked in this driver's life: its epoch at the feedback service.

        In lockstep a later life with the same settings lives through the same again, and calls it the same.
        """
        return life_of(self)

    def seed_for(self, what: str) -> int:
        """Return a seed of its own for each user of randomness: a function of the run's seed and a name."""
        digest = hashlib.blake2b(f"{self.seed or 0}/{what}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little")

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return our networks as an RLModule."""
        return RLModuleSpec(module_class=ActorCriticModule, model_config=dict(self._model_config))

    def get_default_learner_class(self) -> Any:
        """Return the learner."""
        from cluster.loop.learning.learner import HITLLearner

        return HITLLearner

    def validate(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: a policy that cannot learn so, a learned reward without a feedback service, or a setting of
                RLlib that is not read.
        """
        super().validate()
        complaint = unread_setting(self) or policy_complaint(
            self.objective,
            shared=self.model_config.get("shared", False),
            recurrent=self.model_config.get("recurrent"),
            steps=self.rollout_fragment_length,
        )
        # RLlib validates a copy for an evaluation of its own, too, whose rollouts nobody learns from.
        if complaint and not self.in_evaluation:
            raise ValueError(complaint)
        if self.learns_from_people and self.feedback_link is None:
            raise ValueError(
                "people teach through a feedback service: call .people(feedback=FeedbackService(...))"
            )
