"""From a run's checkpoint to files that run without Handrail, checked before they are kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from cluster.export.contract import contract
from cluster.export.file_format import FileFormat
from cluster.export.onnx_file import Onnx
from cluster.export.saved_deployment import load_deployment
from cluster.export.torchscript import TorchScript
from cluster.export.verification import OBSERVATIONS, random_inputs, verify
from cluster.runs import checkpoints
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.loading import load_run
from hitl.errors import ConfigError, StorageError
from policies.acting.deployment import Deployed

FORMATS: dict[str, FileFormat] = {each.name: each for each in (TorchScript(), Onnx())}
"""By their names."""


class Exported(NamedTuple):
    """A file that was written."""

    path: Path
    description: Path
    """The JSON file beside it, which it also has inside."""
    contract: dict[str, Any]
    usage: str
    """A program that asks it."""


def export_policy(
    folder: RunFolder,
    formats: Sequence[FileFormat],
    *,
    checkpoint: str | None = None,
    output: Path | None = None,
    stochastic: bool = False,
    overwrite: bool = False,
) -> list[Exported]:
    """Write a run's policy, one file for each format.

    Args:
        folder: of the run.
        formats: of the files.
        checkpoint: the name of one of the run's; None: the newest.
        output: the file's path, with or without its format's ending, or a folder; None: one in the run's folder.
        stochastic: the files also return what the distribution of actions is made of.
        overwrite: take the place of files that are there.

    Raises:
        ConfigError: there is no checkpoint, or none that a file can hold; a file is there already, or a library is
            missing.
        StorageError: they cannot be written.
        HandrailError: a file does not answer as the policy does; it is not left behind.
    """
    for each in formats:
        each.require()
    chosen = _checkpoint(folder, checkpoint)
    if output is None or output.is_dir():
        output = (output or folder.exports) / f"{folder.run_id}-{chosen.name}"
    paths = _paths(output, formats)
    if not overwrite and (there := [path for path in paths if path.exists()]):
        raise ConfigError(f"{there[0]} is there already; add --overwrite, or name another file with --output")
    config = load_run(folder.run_file)
    saved = load_deployment(chosen, config, stochastic=stochastic)
    inputs = random_inputs(saved.policy, saved.observation_space, OBSERVATIONS)
    about = contract(saved, inputs, run_id=folder.run_id, config=config, checkpoint=chosen)
    return [
        _write(each, path, saved.policy, inputs, about) for each, path in zip(formats, paths, strict=True)
    ]


def _checkpoint(folder: RunFolder, name: str | None) -> Path:
    newest = checkpoints.newest(folder.checkpoints)
    if newest is None:
        raise ConfigError(f"run {folder.run_id} has no checkpoint yet; let it train a while")
    chosen = folder.checkpoints / name if name else newest
    if not chosen.is_dir():
        raise ConfigError(
            f"run {folder.run_id} has no checkpoint {name}; the newest one in {folder.checkpoints} is {newest.name}"
        )
    return chosen


def _paths(output: Path, formats: Sequence[FileFormat]) -> list[Path]:
    named = [each for each in FORMATS.values() if output.suffix == each.ending]
    for each in named:
        if each.name not in {one.name for one in formats}:
            raise ConfigError(f"{output} has the ending of another format; add --format {each.name}")
    stem = output.with_suffix("") if named else output
    return [stem.with_name(stem.name + each.ending) for each in formats]


def _write(
    each: FileFormat,
    path: Path,
    policy: Deployed,
    inputs: Sequence[NDArray[Any]],
    about: dict[str, Any],
) -> Exported:
    about = {"format": each.name} | about
    description = path.with_name(path.name + ".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            draft = Path(folder, path.name)
            example = tuple(map(torch.from_numpy, inputs))
            each.write(draft, policy, example, json.dumps(about, allow_nan=False))
            verify(each.load(draft), policy, inputs, what=each.name)
            write_json(description, about)
            draft.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}); choose another place with --output"
        ) from None
    return Exported(path, description, about, each.usage(path, about))
