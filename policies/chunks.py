"""Networks on many rows at once, in parts whose hidden layers fit into memory."""

from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 4096
"""Rows that go through a network together where no gradient is taken."""


def in_chunks(function: Callable[..., Tensor], *rows_P: Tensor) -> Tensor:
    """Return the function of tensors with the same first axis, evaluated a part of it at a time."""
    if len(rows_P[0]) <= ROWS:
        return function(*rows_P)
    parts = zip(*(torch.split(tensor, ROWS) for tensor in rows_P), strict=True)
    return torch.cat([function(*part) for part in parts])
