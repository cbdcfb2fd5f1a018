"""A policy from a checkpoint."""

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from numpy.typing import NDArray

from hitl.errors import ConfigError
from policies.networks import ActorCritic

_MODULE = Path("learner_group", "learner", "rl_module", "default_policy")
_COUNTERS = "algorithm_state.pkl"


class SavedPolicy(NamedTuple):
    """A policy and critic on the CPU, and what they were made of."""

    network: ActorCritic
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    settings: dict[str, Any]
    """Keyword arguments of `ActorCritic`."""


def load_policy(checkpoint: Path) -> ActorCritic:
    """Return the policy and critic of a checkpoint, on the CPU.

    Raises:
        ConfigError: there is none in this folder.
    """
    return load_saved_policy(checkpoint).network


def load_saved_policy(checkpoint: Path) -> SavedPolicy:
    """Return the policy and critic of a checkpoint with their spaces and settings.

    Raises:
        ConfigError: there is none in this folder.
    """
    from ray.rllib.core.rl_module.rl_module import RLModule

    module = (checkpoint / _MODULE).absolute()
    if not module.is_dir():
        raise ConfigError(f"{checkpoint} is no checkpoint; name a folder inside a run's checkpoints folder")
    saved = RLModule.from_checkpoint(str(module))
    return SavedPolicy(saved.network, saved.observation_space, saved.action_space, dict(saved.model_config))


def saved_policy_version(checkpoint: Path) -> int:
    """Return the version of a checkpoint's policy."""
    return int(_counters(checkpoint)["policy_version"])


def saved_reward_model(checkpoint: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint's reward model; empty where it has none yet."""
    reward = _counters(checkpoint)["reward"]
    return dict(reward["arrays"]) if reward else {}


def saved_reward_version(checkpoint: Path) -> int:
    """Return the version of a checkpoint's reward model; 0 where it has none yet."""
    reward = _counters(checkpoint)["reward"]
    return int(reward["version"]) if reward else 0


def _counters(checkpoint: Path) -> dict[str, Any]:
    with (checkpoint / _COUNTERS).open("rb") as file:
        counters: dict[str, Any] = pickle.load(file)["handrail"]
    return counters
