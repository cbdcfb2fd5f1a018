"""Demonstrations by a program as a Minari dataset: `python docs/examples/demonstrate_balance.py people/balance-v0`."""

import sys
from typing import Any

import gymnasium as gym
import minari
from minari.data_collector.episode_buffer import EpisodeBuffer

from hitl.teachers.cartpole import Balancer


def episode(env: gym.Env[Any, Any], expert: Balancer, *, seed: int) -> EpisodeBuffer:
    """Play one episode; it has one observation more than steps."""
    observations, steps = [env.reset(seed=seed)[0]], []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        action = expert.act(observations[-1])
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        steps.append((action, reward, terminated, truncated))
    actions, rewards, terminations, truncations = map(list, zip(*steps, strict=True))
    return EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
    )


def demonstrate(dataset_id: str, *, episodes: int = 10) -> None:
    """Write a dataset beside the others of this machine, where `minari:ID` finds it."""
    env = gym.make("CartPole-v1")
    buffer = [episode(env, Balancer(), seed=seed) for seed in range(episodes)]
    minari.create_dataset_from_buffers(dataset_id, buffer, env=env)


if __name__ == "__main__":
    demonstrate(*sys.argv[1:])
