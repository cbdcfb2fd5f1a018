"""Minari datasets on disk, by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from minari import __version__
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from docs.examples.demonstrate_balance import episode
from hitl.teachers.cartpole import Balancer
from tests.cluster.stages.dial import Dial

CARTPOLE = gym.make("CartPole-v1")


class Four(Dial):
    """What `tests.hitl.playing` plays."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(4)


def write(
    folder: Path,
    episodes: Sequence[tuple[Any, Any]],
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    data_format: str = "hdf5",
) -> Path:
    """Write a dataset of episodes, each as observations and actions; returns its folder."""
    return _write(
        folder, [_buffer(*e) for e in episodes], (observation_space, action_space), data_format=data_format
    )


def balanced(folder: Path, *, episodes: int = 3, data_format: str = "hdf5") -> Path:
    """Write a dataset of CartPole, whose pole never falls; returns its folder."""
    buffers = [episode(CARTPOLE, Balancer(), seed=seed) for seed in range(episodes)]
    spaces = CARTPOLE.observation_space, CARTPOLE.action_space
    return _write(folder, buffers, spaces, data_format=data_format)


def _buffer(observations: Any, actions: Any) -> EpisodeBuffer:
    flags = np.zeros(len(actions), bool)
    return EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=np.ones(len(actions)),
        terminations=flags,
        truncations=flags,
    )


def _write(folder: Path, buffers: list[EpisodeBuffer], spaces: Any, *, data_format: str) -> Path:
    (folder / "data").mkdir(parents=True)
    storage = MinariStorage.new(folder / "data", *spaces, data_format=data_format)
    storage.update_metadata({"dataset_id": folder.name, "minari_version": __version__})
    storage.update_episodes(buffers)
    return folder
