"""How good a policy is by the environment's own reward: a number for people, never for the learner."""

import gymnasium as gym
import numpy as np
import torch

from cluster.loop.environments import make_vector
from cluster.loop.saved_policy import load_policy
from cluster.runs import checkpoints
from cluster.runs.config import EnvironmentConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import load_run
from hitl.errors import ConfigError
from policies.networks import ActorCritic


@torch.inference_mode()
def evaluate(
    network: ActorCritic, environment: EnvironmentConfig, *, episodes: int, seed: int
) -> list[float]:
    """Play greedy episodes and return the true return of each."""
    envs = make_vector(environment, episodes)
    observation_NO = envs.reset(seed)
    space = envs.action_space
    returns, playing = np.zeros(episodes), np.ones(episodes, bool)
    while playing.any():
        action = network.act_greedily(torch.from_numpy(observation_NO)).numpy()
        if isinstance(space, gym.spaces.Box):
            action = np.clip(action, space.low, space.high)
        stepped = envs.step(action)
        observation_NO = stepped.observation_NO
        returns += stepped.reward_N * playing
        playing &= ~(stepped.terminated_N | stepped.truncated_N)
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
