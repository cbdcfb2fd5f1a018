"""What acts greedily in a checkpoint, ready to be deployed: the policy, or the reward model where it alone acts."""

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from cluster.feedback.versions import model_arrays
from cluster.loop.learning.saved_policy import (
    load_saved_policy,
    saved_policy_version,
    saved_reward_model,
    saved_reward_version,
)
from cluster.runs.config import RunConfig
from hitl.errors import ConfigError
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.deployment import RewardDeployment
from policies.acting.deployment import Deployed, Deployment
from policies.acting.on_reward import CandidateActions

_FIXED_CANDIDATES = 1024
"""Drawn once for a file where there are too many actions to look at all; whoever acts in a run draws other ones in each
step, and fewer."""


class SavedDeployment(NamedTuple):
    """What is deployed, and what its users must know of it."""

    policy: Deployed
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    version_of: str
    """policy_version or reward_version."""
    version: int
    network: dict[str, Any]
    """What it was made of."""
    meaning: str
    """Of its actions, for people."""


def load_deployment(checkpoint: Path, config: RunConfig, *, stochastic: bool) -> SavedDeployment:
    """Return what acts greedily in a checkpoint of a run.

    Args:
        checkpoint: its folder.
        config: of the run.
        stochastic: also return what actions are drawn from.

    Raises:
        ConfigError: there is none in this folder, or none that a file can hold.
    """
    if config.acting.kind == "reward":
        return _by_reward(checkpoint, config, stochastic=stochastic)
    saved = load_saved_policy(checkpoint)
    return SavedDeployment(
        policy=Deployment(saved.network, saved.action_space, stochastic=stochastic),
        observation_space=saved.observation_space,
        action_space=saved.action_space,
        version_of="policy_version",
        version=saved_policy_version(checkpoint),
        network=saved.settings,
        meaning=_of_policy(saved.action_space),
    )


def _by_reward(checkpoint: Path, config: RunConfig, *, stochastic: bool) -> SavedDeployment:
    model = config.reward.model
    if model.features:
        raise ConfigError(
            f"reward.model.features: {model.features} is a Python function of the task's own, which no file can hold; "
            "let its reward act where Handrail is (`handrail eval`), or train a run without features to export it"
        )
    if stochastic:
        raise ConfigError(
            "--stochastic: this run acts by its reward model (acting.kind: reward) and draws from nothing; leave it out"
        )
    saved, arrays = load_saved_policy(checkpoint), model_arrays(saved_reward_model(checkpoint))
    if not arrays:
        raise ConfigError(
            f"{checkpoint} has no reward model yet, by which this run acts (acting.kind: reward); "
            "let people teach it, and train on to the next checkpoint"
        )
    space, rng = saved.action_space, np.random.default_rng(config.seed)
    action_C = CandidateActions(space, count=_FIXED_CANDIDATES, rng=rng).draw()
    seen = InputSpace.of(saved.observation_space, space, model.inputs)
    return SavedDeployment(
        policy=RewardDeployment(RewardEnsemble.of_arrays(seen, arrays), action_C),
        observation_space=saved.observation_space,
        action_space=space,
        version_of="reward_version",
        version=saved_reward_version(checkpoint),
        network=model.model_dump(include={"members", "hidden", "encoder", "image_features", "filters"}),
        meaning=f"of {len(action_C)} actions the one of which people would say the best (TAMER)",
    )


def _of_policy(space: gym.Space[Any]) -> str:
    if isinstance(space, gym.spaces.Discrete):
        return "the most probable action's number"
    if isinstance(space, gym.spaces.MultiDiscrete):
        return "the most probable number on each axis"
    return "the mean, clipped to the bounds"
