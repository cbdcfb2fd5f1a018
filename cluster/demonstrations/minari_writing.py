"""What stages have shown, as a Minari dataset on disk."""

import dataclasses
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from cluster.demonstrations.fragments import Fragment, fragments
from cluster.demonstrations.minari_library import minari_module
from cluster.demonstrations.recorded_run import RecordedRun
from hitl.errors import ConfigError, StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A dataset."""

    folder: Path
    dataset_id: str
    fragments: int
    steps: int
    single_corrections: int
    """Left out: what a teacher only said is no step, for nobody knows where it would have led."""


def write_dataset(
    recorded: RecordedRun, folder: Path, *, all_steps: bool = False, overwrite: bool = False
) -> Written:
    """Write what was demonstrated in a run, each piece without a gap as one episode.

    An episode has one observation more than actions. Its last step is a termination or a truncation, the latter also
    where the episode goes on and only what was demonstrated of it ends. The info `demonstrated`, bool[T + 1], says
    where a teacher acted; the metadata of an episode say on which stage it was, in which episode from which step on,
    and who acted.

    Args:
        recorded: the run's journal.
        folder: of the dataset, whose last part is its id, such as `people-v0`.
        all_steps: also what the policy did on stages.
        overwrite: take the place of what is there.

    Raises:
        ConfigError: Minari is not installed, the folder cannot be that of a dataset, or there is nothing to write.
        StorageError: it cannot be written.
    """
    dataset_id = _dataset_id(folder)
    if folder.exists() and not overwrite:
        raise ConfigError(f"{folder} is there already; choose another folder, or give --overwrite")
    spaces, spec = recorded.spaces(), _spec(recorded)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        (draft / "data").mkdir(parents=True)
        storage = minari_module("minari.dataset.minari_storage").MinariStorage.new(
            draft / "data", *spaces, env_spec=spec, jpeg_encoding=False
        )
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "minari_version": minari_module("minari").__version__,
                "description": f"What {'stages showed' if all_steps else 'teachers did'} "
                f"in run {recorded.folder.run_id} of Handrail.",
            }
        )
        count = _fill(storage, fragments(recorded, all_steps=all_steps), spaces[0])
        if not count:
            raise ConfigError(
                f"run {recorded.folder.run_id}: "
                + ("no stage has shown a step" if all_steps else "nobody took the controls of a stage")
                + "; there is nothing to write"
            )
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    takeovers = set(recorded.shown())
    return Written(
        folder=folder,
        dataset_id=dataset_id,
        fragments=count,
        steps=minari_module("minari").MinariDataset(folder / "data").total_steps,
        single_corrections=sum(one.segment_id not in takeovers for one in recorded.said()),
    )


def _dataset_id(folder: Path) -> str:
    parse = minari_module("minari.dataset.minari_dataset").parse_dataset_id
    try:
        parse(folder.name)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{folder}: a Minari dataset is named with a version; name the folder {folder.name or 'people'}-v0"
        ) from None
    return folder.name


def _spec(recorded: RecordedRun) -> Any:
    """Return what gymnasium makes the environment of; None for one that it does not know."""
    environment = recorded.config.environment
    if ":" in environment.id:
        return None
    spec = gym.spec(environment.id)
    return dataclasses.replace(spec, kwargs={**spec.kwargs, **environment.kwargs})


def _fill(storage: Any, found: Iterable[Fragment], space: gym.Space[Any]) -> int:
    buffer = minari_module("minari.data_collector.episode_buffer").EpisodeBuffer
    count = 0
    for fragment in found:
        last_T = np.arange(len(fragment)) == len(fragment) - 1
        episode = buffer(
            observations=_as_shown(space, fragment.observation_TO),
            actions=fragment.action_TA,
            rewards=fragment.reward_T,
            terminations=last_T & fragment.terminated,
            truncations=last_T & (not fragment.terminated),
            infos={"demonstrated": np.append(fragment.demonstrated_T, False)},
        )
        storage.update_episodes([episode])
        about = {"stage": fragment.stage, "stage_episode": fragment.episode, "begin": fragment.begin}
        storage.update_episode_metadata([{**about, "teachers": ",".join(fragment.teachers)}], [count])
        count += 1
    return count


def _as_shown(space: gym.Space[Any], observation_TO: NDArray[Any]) -> Any:
    """Undo what `policies.spaces` does: arrays, or dicts and tuples of them, with one row a step."""
    rows = [gym.spaces.unflatten(space, observation_O) for observation_O in observation_TO]
    return concatenate(space, rows, create_empty_array(space, len(rows)))
