"""What users have written themselves, by its name."""

import importlib
import sys
from typing import Any

from hitl.errors import ConfigError


def find(name: str, what: str, *, kind: str) -> Any:
    """Return what a name stands for.

    Args:
        name: module:Name; the module is looked for in the working directory and on PYTHONPATH.
        what: it is to be, for the error.
        kind: of thing, as people write it, such as Class.

    Raises:
        ConfigError: it is no such name, or cannot be imported.
    """
    module_name, _, own_name = name.partition(":")
    if not module_name or not own_name:
        example = what.title() if kind == "Class" else what
        raise ConfigError(f"{what} {name!r} is no module:{kind}; write for example lessons:{example}")
    return import_named(name, f"{what} {name!r}")


def import_named(name: str, what: str) -> Any:
    """Import what module:Name stands for.

    Args:
        name: see `find`.
        what: begins the error.

    Raises:
        ConfigError: it cannot be imported.
    """
    module_name, _, own_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), own_name)
    except Exception as error:
        raise ConfigError(
            f"{what}: cannot import {own_name} from {module_name}: {error}. "
            "Is the folder that holds it the working directory, or on PYTHONPATH?"
        ) from error
