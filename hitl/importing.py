"""What a run file or a command line names as module:Class."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from hitl.errors import ConfigError


def import_named(name: str, what: str) -> Callable[..., Any]:
    """Import what module:name stands for.

    Args:
        name: the module is looked for in the working directory and on PYTHONPATH.
        what: begins the error.

    Raises:
        ConfigError: it cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        raise ConfigError(
            f"{what}: cannot import {attribute} from {module_name}: {error}. "
            "Is the folder that holds it the working directory, or on PYTHONPATH?"
        ) from error
    return found
