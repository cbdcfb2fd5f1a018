"""The seam between exporting and the formats of files."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from policies.acting.deployment import Deployed

Answers = Callable[[list[NDArray[Any]]], list[NDArray[np.generic]]]
"""A loaded file: from its inputs to its outputs, in the order of their names."""

METADATA = "handrail.json"
"""The name of the description within a file."""


class FileFormat(Protocol):
    """A way to write a policy to a file that runs without Handrail."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def ending(self) -> str:
        """Of its files' names."""
        ...

    def require(self) -> None:
        """Raise ConfigError, saying what to install, where a library that it needs is missing."""
        ...

    def write(self, path: Path, policy: Deployed, example: tuple[Tensor, ...], metadata: str) -> None:
        """Write the policy, for any number of observations; the example has several."""
        ...

    def load(self, path: Path) -> Answers:
        """Load a file as those will who run it."""
        ...

    def usage(self, path: Path, contract: Mapping[str, Any]) -> str:
        """Return a program that loads the file and asks it."""
        ...


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from telling users about its exporters: TorchScript is old, torchvision is missing."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def zeros(contract: Mapping[str, Any], library: str) -> dict[str, str]:
    """Return for each input, by name, Python that makes one row of zeros of it with torch or NumPy (as np)."""
    return {
        port["name"]: f"{library}.zeros(({', '.join(map(str, [1, *port['shape'][1:]]))}), "
        f"dtype={library}.{port['dtype']})"
        for port in contract["inputs"]
    }


def names(ports: list[dict[str, Any]]) -> str:
    """Return the names of inputs or outputs, as a program writes a tuple of them."""
    return ", ".join(port["name"] for port in ports) + ("," if len(ports) == 1 else "")
