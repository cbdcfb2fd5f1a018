"""What follows from the settings of a `HITLConfig`: those of an update, of an environment, and the name of a life."""

import hashlib
from typing import Any

from gymnasium import VectorizeMode

from cluster.feedback.service import FeedbackLink
from cluster.runs.config import EnvironmentConfig
from cluster.runs.reward.pretraining import PretrainingConfig
from cluster.runs.reward.signals import SignalsConfig
from policies.settings import AdaptiveKLSettings, TRPOSettings, UpdateSettings, VTraceSettings, WarmUpSettings


def environment_config(config: Any) -> EnvironmentConfig:
    """Return the environment as `cluster.environments.making` makes it."""
    return EnvironmentConfig(
        id=config.env,
        kwargs=dict(config.env_config),
        fixed_horizon=config.fixed_horizon,
        allow_variable_horizon=config.allow_variable_horizon,
        vectorised=VectorizeMode(config.gym_env_vectorize_mode) is VectorizeMode.VECTOR_ENTRY_POINT,
        isolated=VectorizeMode(config.gym_env_vectorize_mode) is VectorizeMode.ASYNC,
        step_timeout_seconds=config.step_timeout_s,
    )


def vectorize_mode(environment: EnvironmentConfig) -> VectorizeMode:
    """Return how RLlib calls the way in which an env runner's environments are stepped."""
    if environment.vectorised:
        return VectorizeMode.VECTOR_ENTRY_POINT
    return VectorizeMode.ASYNC if environment.isolated else VectorizeMode.SYNC


def update_settings(config: Any) -> UpdateSettings:
    """Return the numbers of an update."""
    own = config.objective
    return UpdateSettings(
        objective=own.objective,
        advantages=own.advantages,
        baseline=own.baseline,
        normalise_advantages=own.normalise_advantages,
        normalise_rewards=own.normalise_rewards,
        n_step=own.n_step,
        sequence_steps=own.sequence_steps,
        value_clip=own.value_clip,
        value_targets=own.value_targets,
        critic_warm_up=WarmUpSettings(**own.critic_warm_up.model_dump()),
        vtrace=VTraceSettings(**own.vtrace.model_dump()),
        ppo_kl=AdaptiveKLSettings(**own.ppo_kl.model_dump()),
        trpo=TRPOSettings(**own.trpo.model_dump()),
        reference_coefficient=own.reference.coefficient,
        discount=config.gamma,
        gae_lambda=config.lambda_,
        clip=config.clip_param,
        epochs=config.num_epochs,
        minibatch_size=config.minibatch_size,
        value_coefficient=config.vf_loss_coeff,
        entropy_coefficient=config.entropy_coeff,
        max_gradient_norm=config.grad_clip,
        imitation_loss=config.imitation.loss,
        signals=config.signals.settings,
    )


def signals_as_read(config: Any) -> SignalsConfig:
    """Return how the reward model reads signals, with the baseline decided; see `SignalsConfig.baseline`."""
    signals: SignalsConfig = config.signals
    if signals.baseline != "auto":
        return signals
    rewards_a_policy = config.acting.kind != "reward" and config.reward_sources.learned != 0
    orders_actions = config.acting.kind != "policy" and not rewards_a_policy
    return signals.model_copy(update={"baseline": "alternatives" if orders_actions else "none"})


def life_of(config: Any) -> str:
    """Return what names what is shown and asked in a driver's life; see `HITLConfig.life`."""
    if not isinstance(config.feedback_link, FeedbackLink):
        return "0"
    if not config.lockstep:
        return str(config.feedback_link.epoch)
    settings = (
        config.seed,
        config.lr,
        config.anneal_over_env_steps,
        config.update_settings,
        config._model_config,
        config.reward_sources,
        config.intrinsic,
        config.reward_model,
        config.questions,
        config.signals,
        config.augmentation,
        config.corrections,
        config.reliability,
        config.acting,
        config.imitation,
        config.num_env_runners,
        config.num_envs_per_env_runner,
        config.rollout_fragment_length,
        config.feedback_link.reads_from,
        # Only where it says something, so that lives of before it keep their names.
        *([] if config.pretraining == PretrainingConfig() else [config.pretraining]),
    )
    return hashlib.blake2b(repr(settings).encode(), digest_size=4).hexdigest()
