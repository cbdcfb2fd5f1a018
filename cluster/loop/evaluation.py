"""How good a policy is by the environment's own reward: a number for people, never for the learner."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from cluster.environments.making import make_vector, spaces_of
from cluster.feedback.versions import model_arrays
from cluster.loop.learning.saved_policy import load_policy, saved_reward_model
from cluster.runs import checkpoints
from cluster.runs.config import EnvironmentConfig, RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import load_run
from hitl.acting import make_acting
from hitl.errors import ConfigError
from hitl.reward.network.ensemble import Weights
from policies.networks.memory import Memory
from policies.spaces import legal


class Judged(Protocol):
    """A policy to be judged, such as an `ActorCritic`."""

    @property
    def memory(self) -> Memory | None:
        """What makes its features out of observations and what it remembers; None where it remembers nothing."""

    def act_greedily(self, seen_PF: Tensor, /) -> Tensor:
        """Return the most probable actions by its features, or by observations where it remembers nothing."""
        ...


class GreedyReward:
    """Whoever acts by the reward model alone, as `Judged`."""

    memory = None

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        arrays: Weights,
        config: RunConfig,
    ) -> None:
        """Take over a version's arrays; without any, all actions are equally good."""
        self._acting = make_acting(
            replace(config.acting.settings, temperature=0.0),
            observation_space,
            action_space,
            seed=config.seed,
            model_config=config.policy.model_dump(),
            inputs=config.reward.model.inputs,
        )
        if arrays:
            self._acting.show_reward(1, model_arrays(arrays))

    def act_greedily(self, seen_PF: Tensor, /) -> Tensor:
        """See `Judged`."""
        action, _ = self._acting.acts.act(seen_PF.numpy())
        return torch.from_numpy(action)


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
    return evaluate(load_judged(checkpoint, config), config.environment, episodes=episodes, seed=seed)


def load_judged(checkpoint: Path, config: RunConfig) -> Judged:
    """Return what acts in a checkpoint of a run: its policy, or its reward model where that alone acts.

    Raises:
        ConfigError: there is none in this folder.
    """
    if config.acting.kind == "reward":
        return GreedyReward(*spaces_of(config.environment), saved_reward_model(checkpoint), config)
    return load_policy(checkpoint)
