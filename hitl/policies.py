"""A policy on its way to programs that act by it outside of the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPolicy:
    """One version of what acts."""

    version: int
    weights: Mapping[str, Array]
    """What acting needs of the network, by name."""
    network: Mapping[str, Any]
    """Settings of the network beside its spaces: keyword arguments of `policies.acting.inference.acting_policy`."""
