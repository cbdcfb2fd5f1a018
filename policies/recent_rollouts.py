"""The newest batches of experience, within bounds, to learn from once more."""

import dataclasses
from collections import deque
from collections.abc import Iterator

import numpy as np

from policies.experience import Rollout


class RecentRollouts:
    """Batches in the order in which they came; the oldest make room for new ones."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        """Begin without any.

        Args:
            most: batches that are kept.
            most_bytes: that they may take together; a batch that is larger alone is not kept.
        """
        self._kept: deque[Rollout] = deque(maxlen=most)
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Rollout]:
        """Yield them, the oldest first."""
        return iter(self._kept)

    def take(self, rollout: Rollout) -> None:
        """Keep a copy of a batch: what it was fetched from may go."""
        arrays = {name: value.copy() for name, value in _arrays(rollout).items()}
        self._kept.append(dataclasses.replace(rollout, **arrays))  # type: ignore[arg-type]
        while sum(map(size_of, self._kept)) > self._most_bytes:
            self._kept.popleft()

    def clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()


def size_of(rollout: Rollout) -> int:
    """Return the bytes of a rollout's arrays."""
    return sum(value.nbytes for value in _arrays(rollout).values())


def _arrays(rollout: Rollout) -> dict[str, np.ndarray]:
    values = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(rollout)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
