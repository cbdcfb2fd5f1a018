"""How good a policy is by the environment's own reward: a number for people, never for the learner."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cluster.environments.making import make_vector
from cluster.environments.vector import legal
from cluster.loop.saved_policy import load_policy
from cluster.runs import checkpoints
from cluster.runs.config import EnvironmentConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import load_run
from hitl.errors import ConfigError
from policies.networks.memory import Memory


class Judged(Protocol):
    """A policy to be judged, such as an `ActorCritic`."""

    @property
    def memory(self) -> Memory | None:
        """What makes its features out of observations and what it remembers; None where it remembers nothing."""

    def act_greedily(self, seen_PF: Tensor, /) -> Tensor:
        """Return the most probable actions by its features, or by observations where it remembers nothing."""
        ...


@torch.inference_mode()
def evaluate(network: Judged, environment: EnvironmentConfig, *, episodes: int, seed: int) -> list[float]:
    """Play greedy episodes and return the true return of each."""
    envs = make_vector(environment, episodes)
    observation_NO = envs.reset(seed)
    memory = network.memory
    memory_NH = torch.zeros(episodes, memory.units) if memory else None
    returns, playing = np.zeros(episodes), np.ones(episodes, bool)
    while playing.any():
        seen = torch.from_numpy(observation_NO)
        if memory and memory_NH is not None:
            seen = memory_NH = memory.step(seen, memory_NH)
        action = network.act_greedily(seen).numpy()
        stepped = envs.step(legal(action, envs.action_space))
        observation_NO = stepped.observation_NO
        returns += stepped.reward_N * playing
        if memory_NH is not None:
            memory_NH = memory_NH * torch.from_numpy(~(stepped.terminated_N | stepped.truncated_N))[:, None]
        # One whose environment was lost is played again.
        lost = playing & (stepped.duration_N == 0)
        returns[lost] = 0.0
        playing &= lost | ~(stepped.terminated_N | stepped.truncated_N)
    envs.close()
    return [float(value) for value in returns]


def evaluate_run(folder: RunFolder, episodes: int, seed: int) -> list[float]:
    """Play greedy episodes with the policy of a run's newest checkpoint.

    Raises:
        ConfigError: the run has no checkpoint yet.
    """
    checkpoint = checkpoints.newest(folder.checkpoints)
    if checkpoint is None:
        raise ConfigError(f"run {folder.run_id} has no checkpoint yet; let it train a while")
    config = load_run(folder.run_file)
    return evaluate(load_policy(checkpoint), config.environment, episodes=episodes, seed=seed)
