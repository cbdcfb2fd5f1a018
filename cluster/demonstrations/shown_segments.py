"""Demonstrations as segments, for a reward that is learnt from them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from cluster.demonstrations.fragments import fragments
from cluster.demonstrations.minari_reading import read_dataset
from cluster.demonstrations.recorded_run import RecordedRun
from cluster.demonstrations.same_spaces import check_spaces
from cluster.runs.folder import RunFolder
from hitl.errors import ConfigError
from hitl.events import Segment, StepAddress
from policies.spaces import flat_dtype

SETTING = "reward.demonstrations.sources"


def shown_segments(
    source: str, observation_space: gym.Space[Any], action_space: gym.Space[Any], *, steps: int
) -> Iterator[Segment]:
    """Yield what was done in a source, each piece of an episode without a gap as one segment.

    Args:
        source: `minari:ID`, or the path of the folder of a Minari dataset or of a run: of a run what teachers did with
            the controls of stages; what they only said shows no steps.
        observation_space: of the task.
        action_space: of the task.
        steps: pieces that are shorter are left out: a return over fewer steps says something else.

    Raises:
        ConfigError: it is not there, is of another task, is damaged, or shows no such piece.
    """
    run = RunFolder(Path(source).absolute())
    found = 0
    try:
        pieces = (
            _of_run(run, observation_space, action_space)
            if run.run_file.is_file()
            else _of_dataset(source, observation_space, action_space)
        )
        for number, (observation_TO, action_TA) in enumerate(pieces):
            if len(action_TA) < steps:
                continue
            found += 1
            yield _segment(source, number, observation_TO, action_TA)
    except ConfigError as error:
        raise ConfigError(str(error).replace("imitation.demonstrations", SETTING)) from None
    if not found:
        raise ConfigError(
            f"{SETTING}: {source}: nobody has shown {steps} steps in a row there (reward.questions.segment_steps); "
            "leave it out"
        )


def _of_dataset(
    source: str, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> Iterator[Any]:
    for part in read_dataset(source, observation_space, action_space):
        yield part.observation_BO, part.action_BA


def _of_run(
    folder: RunFolder, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> Iterator[Any]:
    recorded = RecordedRun(folder)
    try:
        check_spaces(*recorded.spaces(), of_task=(observation_space, action_space))
        for fragment in fragments(recorded, all_steps=False):
            observation_TO = fragment.observation_TO[:-1].astype(flat_dtype(observation_space))
            yield observation_TO, fragment.action_TA
    except ValueError as error:
        raise ConfigError(f"{SETTING}: run {folder.run_id}: {error}") from None
    finally:
        recorded.close()


def _segment(source: str, number: int, observation_TO: Any, action_TA: Any) -> Segment:
    # Ids have bounds that paths know nothing of.
    name = source[-100:]
    return Segment(
        segment_id=f"{name}/{number}",
        address=StepAddress(
            task_id="", run_id=name, source="demonstrations", episode=number, begin=0, end=len(action_TA)
        ),
        observations={"obs": np.asarray(observation_TO)},
        actions=np.asarray(action_TA),
        policy_version=0,
    )
