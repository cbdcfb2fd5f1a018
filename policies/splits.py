"""What is decided once for all by a name: such as whether it trains a model or only judges it."""

import hashlib

import numpy as np


def is_heldout(name: str, share: float) -> bool:
    """Whether what has this name only judges."""
    return _digest(name) < share * 2**64


def uniform(name: str) -> float:
    """Return a number of this name, uniform in [0, 1)."""
    return (_digest(name) >> 11) / 2**53


def number(name: str) -> int:
    """Return a number of this name, from 0 to 2^63 - 1; hardly two names have the same one."""
    return _digest(name) >> 1


def generator(name: str) -> np.random.Generator:
    """Return a source of chance of this name."""
    return np.random.default_rng(_digest(name))


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
