"""A network's state as arrays: what is published, stored and loaded; never a pickle."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def to_arrays(network: nn.Module) -> dict[str, NDArray[np.generic]]:
    """Return a network's parameters and buffers by their names, as arrays of their own."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def to_tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what `to_arrays` returned as tensors of their own, for `load_state_dict`."""
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
