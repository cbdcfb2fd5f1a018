"""Settings on the command line, `--section.key value`, put over those of a run file."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from cluster.runs.keys import Key, all_keys, nearest
from cluster.runs.yaml_reader import RunFileLoader
from hitl.errors import ConfigError

_OPTION = re.compile(r"--[A-Za-z_]")


def group_options(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Split a command line into its options, each with the values behind it.

    Returns:
        Pairs of a name without its dashes and its values; values before the first option have the name "".
    """
    groups: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if _OPTION.match(argument):
            name, equals, value = argument[2:].partition("=")
            groups.append((name, [value] if equals else []))
        elif groups:
            groups[-1][1].append(argument)
        else:
            groups.append(("", [argument]))
    return groups


def apply_overrides(tree: dict[str, Any], arguments: Sequence[str]) -> None:
    """Change a tree in place as the command line says.

    Args:
        tree: a run file as nested dictionaries.
        arguments: such as `["--seed", "3", "--policy.hidden", "64", "64", "--goal.true_return=null"]`.

    Raises:
        ConfigError: an option is unknown, is a section, or has the wrong number of values.
    """
    keys = all_keys()
    for name, values in group_options(arguments):
        if not name:
            raise ConfigError(f"{values[0]!r} belongs to no option; write settings as --section.key value")
        path = _known_path(name, keys)
        if path in keys:
            _put(tree, path.split("."), _value(keys[path], values))
        else:
            _put(tree, path.split("."), _read(path, _only(path, values)))


def _known_path(name: str, keys: dict[str, Key]) -> str:
    """Accept dashes for underscores, as command lines usually do, and keys inside of free dictionaries."""
    for path in (name, name.replace("-", "_")):
        if path in keys:
            if keys[path].section:
                inside = next(other for other in keys if other.startswith(f"{path}."))
                raise ConfigError(f"--{name}: this is a section; set a key in it, such as --{inside}")
            return path
        above = path.rpartition(".")[0]
        if above in keys and dict in keys[above].kinds:
            return path
    near = nearest(name.replace("-", "_"))
    raise ConfigError(f"--{name}: unknown setting" + (f"; did you mean --{near}?" if near else ""))


def _value(key: Key, values: list[str]) -> Any:
    if tuple in key.kinds and values:
        read = [_read(key.path, value) for value in values]
        return (
            read[0] if len(read) == 1 and (isinstance(read[0], list) or type(read[0]) in key.kinds) else read
        )
    if bool in key.kinds and not values:
        return True
    text = _only(key.path, values)
    if str in key.kinds and not (type(None) in key.kinds and text in ("null", "None")):
        return text
    return _read(key.path, text)


def _only(path: str, values: list[str]) -> str:
    if not values:
        raise ConfigError(f"--{path} needs a value")
    if len(values) > 1:
        raise ConfigError(f"--{path} takes one value, but got {len(values)}: {' '.join(values)}")
    return values[0]


def _read(path: str, text: str) -> Any:
    try:
        return None if text == "None" else yaml.load(text, RunFileLoader)
    except yaml.YAMLError:
        raise ConfigError(f"--{path}: {text!r} cannot be read as a value") from None


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[parts[-1]] = value
