"""Settings of RLlib that nothing here reads: to accept them in silence would be to pretend."""

from collections.abc import Mapping

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

_BATCH = (
    "a batch is one rollout of every env runner: num_env_runners x num_envs_per_env_runner x "
    "rollout_fragment_length of .env_runners()"
)
_INSTEAD: Mapping[str, str] = {
    "_train_batch_size_per_learner": _BATCH,
    "train_batch_size": _BATCH,
    "shuffle_batch_per_epoch": "every epoch is shuffled",
    "grad_clip_by": "the norm of all gradients together is limited, by grad_clip",
    "clip_rewards": "objective=ObjectiveConfig(normalise_rewards=True) of .training() scales and clips them",
    "observation_filter": 'model_config={..., "normalise_observations": True} of .rl_module() normalises them',
    "batch_mode": "rollouts have a fixed length, and episodes go on in the next one",
    "explore": "env runners draw actions; `handrail eval` and exported policies act greedily",
    "evaluation_interval": "`cluster.loop.evaluation.evaluate` plays greedy episodes",
    "_env_to_module_connector": "observations go as they are to the encoders (.rl_module(model_config=...))",
    "_module_to_env_connector": "actions are clipped to their Box for the environment, and otherwise as drawn",
    "_learner_connector": "reward sources and advantages are those of .people() and .training(objective=...)",
}
"""By the attribute's name: what there is in its place."""


def unread_setting(config: AlgorithmConfig) -> str | None:
    """Return which setting of RLlib was changed that nothing reads, and what there is instead; None if none was."""
    default = AlgorithmConfig()
    for name, instead in _INSTEAD.items():
        if getattr(config, name) != getattr(default, name):
            return f"{name.removeprefix('_')} is not read by Handrail: {instead}"
    return None
