"""Whether what a run file says fits the environment's spaces."""

from typing import Any

import gymnasium as gym
import torch

from cluster.experts import make_expert
from cluster.feedback.evidence import device_of
from cluster.runs.config import RunConfig
from hitl.acting import make_acting
from hitl.errors import ConfigError
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.spaces import safe_action
from policies.networks import ActorCritic


def check_policy(spaces: tuple[Any, Any], config: RunConfig) -> None:
    """Refuse settings that do not fit the environment's spaces, before any process meets them.

    Raises:
        ConfigError: for these spaces there is no such policy, mixture, reward model, feature of it, safe action or
            expert.
    """
    try:
        with torch.device("meta"):
            ActorCritic(*spaces, **config.policy.model_dump())
            if config.learns_reward:
                model = config.reward.model
                seen = InputSpace.of(*spaces, model.inputs)
                device_of(model, seen)
                RewardEnsemble(seen, members=model.members, hidden=model.hidden)
        if config.acting.kind != "policy":
            make_acting(
                config.acting.settings,
                *spaces,
                seed=0,
                model_config=config.policy.model_dump(),
                inputs=config.reward.model.inputs,
            )
        if config.stages.count:
            safe_action(config.stages.safe_action, spaces[1])
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    if config.imitation.expert:
        make_expert(config.imitation.expert, *spaces)
    if config.reward.augmentation.weight and not isinstance(spaces[1], gym.spaces.Discrete):
        raise ConfigError(
            "reward.augmentation: it looks at what each action is worth, so it is for Discrete actions; "
            f"set its weight to 0 for {spaces[1]}"
        )
