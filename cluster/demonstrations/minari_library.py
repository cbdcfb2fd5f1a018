"""The library Minari, which is an extra."""

import importlib
from types import ModuleType

from hitl.errors import ConfigError


def minari_module(name: str) -> ModuleType:
    """Import a module of Minari.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(
            "Minari datasets need the extra `minari`; install it with "
            "`pip install -c constraints.txt -e '.[minari]'`"
        ) from None
