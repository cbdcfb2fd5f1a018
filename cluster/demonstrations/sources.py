"""Demonstrations by the names of their sources in a run file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from cluster.demonstrations.demonstration import Demonstration
from cluster.demonstrations.minari_reading import read_dataset
from cluster.demonstrations.recorded_run import read_run
from cluster.runs.folder import RunFolder
from hitl.errors import ConfigError
from policies.imitation.labels import LabelStore


def read_sources(
    sources: Sequence[str],
    store: LabelStore,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
) -> int:
    """Put all labels of demonstrations into a store, under keys, and return how many there are.

    Args:
        sources: each `minari:ID`, or the path of the folder of a Minari dataset or of a run.
        store: takes them; its spaces are those below.
        observation_space: of the task.
        action_space: of the task.

    Raises:
        ConfigError: one is not there, is empty, is of another task, or is damaged.
    """
    count = 0
    for source in dict.fromkeys(sources):
        found = 0
        for part in _read(source, observation_space, action_space):
            try:
                store.add(part.observation_BO, part.action_BA, group=part.episode, key=part.name)
            except ValueError as error:
                raise ConfigError(
                    f"imitation.demonstrations: {source} cannot be imitated: {part.name}: {error}"
                ) from None
            found += len(part)
        if not found:
            raise ConfigError(
                f"imitation.demonstrations: {source}: nothing was demonstrated there; leave it out"
            )
        count += found
    return count


def _read(
    source: str, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> Iterator[Demonstration]:
    run = RunFolder(Path(source).absolute())
    if run.run_file.is_file():
        return read_run(run, observation_space, action_space)
    return read_dataset(source, observation_space, action_space)
