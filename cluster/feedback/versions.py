"""The versions of a run's reward model: numbers that are never given out twice, and who is told of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from cluster.newest import Published
from hitl.client.training import TrainingClient
from hitl.events import Progress, Run

Arrays = Mapping[str, NDArray[np.generic]]

_PROBE = "probe_"
_PROBE_STEPS = 4096
_TOGETHER = 100
"""Numbers reserved at once, where versions come many a second."""


class Versions:
    """The newest version, and how a newer one comes about."""

    def __init__(self, client: TrainingClient, run: Run, board: Any) -> None:
        """Begin before the first version.

        Args:
            client: of the service, which knows each number before anybody uses it.
            run: whose model it is.
            board: handle of the `Newest` from which stages take it; None where there are none.
        """
        self._client, self._run, self._board = client, run, board
        self._reserved = 0
        self.newest: Published | None = None
        """None before the first one."""

    @property
    def version(self) -> int:
        """Of the newest one; 0 before the first one."""
        return self.newest.version if self.newest else 0

    def adopt(self, known: Published) -> None:
        """Go on from a version that somebody else has kept."""
        self.newest, self._reserved = known, 0
        self._show()

    def publish(self, arrays: Arrays, *, env_steps: int, journal_end: int, soon_more: bool = False) -> None:
        """Publish a newer version.

        Args:
            arrays: of the model, with those of the probe set.
            env_steps: of the run.
            journal_end: the feedback before this offset is in it.
            soon_more: more versions will follow in a moment: their numbers are reserved with this one's.

        Raises:
            RequestError: the service could not be told.
        """
        highest = self.version
        if highest >= self._reserved:
            # The service knows a number before anybody uses it, so none is ever given out again.
            highest = max(highest, self._client.get_run(self._run.run_id).progress.reward_version)
            reserved = highest + (_TOGETHER if soon_more else 1)
            progress = Progress(env_steps=env_steps, policy_version=0, reward_version=reserved)
            self._client.report_progress(self._run, progress)
            self._reserved = reserved
        self.newest = Published(version=highest + 1, boxed=[ray.put(dict(arrays))], journal_end=journal_end)
        self._show()

    def _show(self) -> None:
        if self._board is not None and self.newest is not None:
            self._board.publish.remote(self.newest)


def with_probe(arrays: Arrays, observation_PO: NDArray[Any], action_PA: NDArray[Any]) -> Arrays:
    """Return a model's arrays with the probe set that its scale is fixed on."""
    return {**arrays, f"{_PROBE}observation": observation_PO, f"{_PROBE}action": action_PA}


def probe_of(arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the probe set of a version."""
    return arrays[f"{_PROBE}observation"], arrays[f"{_PROBE}action"]


def model_arrays(arrays: Arrays) -> Arrays:
    """Return the part of a version's arrays that is the model's state."""
    return {name: value for name, value in arrays.items() if not name.startswith(_PROBE)}
