"""From a run file to its typed tree and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.runs.complaints import complaints
from cluster.runs.config import RunConfig
from cluster.runs.folder import write_text
from cluster.runs.overrides import apply_overrides
from cluster.runs.yaml_reader import RunFileLoader
from hitl.errors import ConfigError


def load_run(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run file, put the overrides over it, and check the whole.

    Args:
        path: a YAML file.
        overrides: as on the command line, such as `["--seed", "3", "--policy.hidden", "64", "64"]`.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong: one line for each thing.
    """
    tree = _read(path)
    apply_overrides(tree, overrides)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = complaints(error)
        head = [f"{path} cannot be run:"] if len(lines) > 1 else []
        raise ConfigError("\n".join(head + lines)) from None


def save_run(config: RunConfig, path: Path) -> None:
    """Write a tree with all its keys, so that `load_run` returns an equal one.

    Raises:
        StorageError: the file cannot be written.
    """
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(path, text, mode=0o600 if config.feedback.token else 0o644)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), RunFileLoader)
    except FileNotFoundError:
        raise ConfigError(f"there is no run file {path}; ready ones are in deploy/runs") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name a YAML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text; name a YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_where(error)}") from None
    if not isinstance(tree, dict):
        found = "empty" if tree is None else f"a {type(tree).__name__}"
        raise ConfigError(f"{path} is {found}, but must have sections of keys, as `environment:` and `stop:`")
    return tree


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
