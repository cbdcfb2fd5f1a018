"""A policy from a checkpoint."""

from pathlib import Path

from hitl.errors import ConfigError
from policies.networks import ActorCritic

_MODULE = Path("learner_group", "learner", "rl_module", "default_policy")


def load_policy(checkpoint: Path) -> ActorCritic:
    """Return the policy and critic of a checkpoint, on the CPU.

    Raises:
        ConfigError: there is none in this folder.
    """
    from ray.rllib.core.rl_module.rl_module import RLModule

    module = (checkpoint / _MODULE).absolute()
    if not module.is_dir():
        raise ConfigError(f"{checkpoint} is no checkpoint; name a folder inside a run's checkpoints folder")
    network: ActorCritic = RLModule.from_checkpoint(str(module)).network
    return network
