"""Demonstrations in a Minari dataset on disk; nothing is downloaded.

The format: one episode of T actions has T + 1 observations, the last of them behind the last action.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from cluster.demonstrations.demonstration import Demonstration
from cluster.demonstrations.minari_library import minari_module
from cluster.demonstrations.same_spaces import check_spaces
from hitl.errors import ConfigError
from policies.experience import ObservationArray
from policies.spaces import flat_dtype, flat_size, writable

METADATA = "metadata.json"
PREFIX = "minari:"


def dataset_folder(source: str) -> Path:
    """Return where the data of a dataset lies.

    Args:
        source: `minari:ID`, of a dataset among those of this machine, or the path of a dataset's folder.

    Raises:
        ConfigError: there is none.
    """
    if source.startswith(PREFIX):
        name = source.removeprefix(PREFIX)
        folder = Path(minari_module("minari.storage").get_dataset_path(name))
        hint = f"fetch it first with `minari download {name}`; a run downloads nothing"
    else:
        folder = Path(source)
        hint = f"name the folder of a Minari dataset or of a run, or {PREFIX}ID"
    for path in (folder / "data", folder):
        if (path / METADATA).is_file():
            return path
    raise ConfigError(f"imitation.demonstrations: {source}: no dataset in {folder}; {hint}")


def read_dataset(
    source: str, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> Iterator[Demonstration]:
    """Yield the episodes of a dataset.

    Args:
        source: see `dataset_folder`.
        observation_space: of the task.
        action_space: of the task.

    Raises:
        ConfigError: there is no such dataset, it is of another task, or it is damaged.
    """
    # First, for its message is the more useful one.
    folder, library = dataset_folder(source), minari_module("minari")
    try:
        dataset = library.MinariDataset(folder)
        check_spaces(
            dataset.observation_space, dataset.action_space, of_task=(observation_space, action_space)
        )
        for number in range(dataset.total_episodes):
            episode = dataset[number]
            action_BA = np.asarray(episode.actions)
            yield Demonstration(
                name=f"{source}/{number}",
                episode=f"{dataset.id}/{number}",
                observation_BO=_flat(observation_space, episode.observations, steps=len(action_BA)),
                action_BA=action_BA,
            )
    except ImportError as error:
        raise ConfigError(f"imitation.demonstrations: {source}: {error}") from None
    except Exception as error:
        # Whatever the library trips over in a damaged file.
        said = str(error) or type(error).__name__
        raise ConfigError(f"imitation.demonstrations: {source} cannot be imitated: {said}") from error


def _flat(space: gym.Space[Any], observations: Any, *, steps: int) -> ObservationArray:
    """Lay the observations before each of so many actions flat."""
    flat_BO = np.zeros((steps, flat_size(space)), flat_dtype(space))
    shown = writable(space, flat_BO)
    if isinstance(space, spaces.Box):
        if not steps <= len(observations) <= steps + 1:
            raise ValueError(f"an episode has {len(observations)} observations for {steps} actions")
        shown[:] = observations[:steps]
        return flat_BO
    for step in range(steps):
        shown[step] = _at(space, observations, step)
    return flat_BO


def _at(space: gym.Space[Any], observations: Any, step: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _at(part, observations[key], step) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        parts = zip(space.spaces, observations, strict=True)
        return tuple(_at(part, values, step) for part, values in parts)
    return observations[step]
