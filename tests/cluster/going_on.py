"""Whether an algorithm that goes on from a checkpoint comes to the same."""

from pathlib import Path

import numpy as np

from cluster.loop.algorithm import HITL


def goes_on_alike(again: HITL, checkpoint: Path, *, updates: int, to: HITL) -> None:
    """Let another algorithm make the updates that were made since a checkpoint; it must end with the same bits."""
    again.restore_from_path(str(checkpoint))
    for _ in range(updates):
        again.train()
    for name, value in to.network_state.items():
        np.testing.assert_array_equal(value, again.network_state[name])
