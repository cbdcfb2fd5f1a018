"""Requests to env runners and the batches that come of them.

At most one request is under way at each env runner. A batch closes when its rows are together or a bounded wait is
over; what comes late joins the next batch, unless its policy is too old by then. A dead env runner is waited for by
nobody: RLlib restarts it, and it gets a request when it is back.
"""

import math
import time
from collections import Counter
from typing import Any

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from cluster.loop.env_runner import HITLEnvRunner, Sample

_TAG = "collect"
_POLL_SECONDS = 0.2


class Sampler:
    """Keeps env runners busy and hands out what they gathered."""

    def __init__(
        self,
        group: EnvRunnerGroup,
        *,
        rollout_rows: int,
        batch_rows: int,
        timeout_seconds: float,
        max_lag: int,
    ) -> None:
        self._group = group
        self._rollout_rows, self._batch_rows = rollout_rows, batch_rows
        self._timeout_seconds = timeout_seconds
        self._max_lag = max_lag
        self._ready: list[Sample] = []
        self.dropped: Counter[str] = Counter()
        """Rollouts that were never used, by reason: stale, lost."""

    def request(self, *, policy_version: int, weights: ray.ObjectRef, start: int) -> None:
        """Ask every idle env runner for a rollout by these weights; see `HITLEnvRunner.collect`."""
        request = {"policy_version": policy_version, "start": start}
        if self._group.num_remote_env_runners():
            # Not by its name: RLlib would make a function of that, and Ray pack the function for each.
            kwargs = {**request, "weights": weights}
            self._group.foreach_env_runner_async(HITLEnvRunner.collect, kwargs=kwargs, tag=_TAG)
        else:
            self._ready.append(self._group.local_env_runner.collect(**request, weights=ray.get(weights)))

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return int(self._group.num_in_flight_async_reqs(_TAG))

    def gather(self, *, policy_version: int) -> list[Sample]:
        """Return a batch's samples, ordered by env runner; none if none is under way.

        Args:
            policy_version: the newest; samples that are too far behind it are dropped and counted.
        """
        deadline = time.monotonic() + self._timeout_seconds
        while (
            missing := self._batch_rows - sum(sample.rows for sample in self._ready)
        ) > 0 and self.in_flight:
            # All that are needed in one look: looks are most of what a rollout costs the driver.
            self._fetch(math.ceil(missing / self._rollout_rows), _POLL_SECONDS)
            if time.monotonic() > deadline:
                break
        fresh = [s for s in self._ready if policy_version - s.policy_version <= self._max_lag]
        self.dropped["stale"] += len(self._ready) - len(fresh)
        self._ready = []
        return sorted(fresh, key=lambda sample: (sample.worker, sample.policy_version))

    def _fetch(self, most: int, seconds: float) -> None:
        manager: Any = self._group._worker_manager
        pending = [ref for ref, (tag, _) in manager._in_flight_req_to_actor_id.items() if tag == _TAG]
        ray.wait(pending, num_returns=min(most, len(pending)), timeout=seconds)
        for result in manager.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=0.0):
            if result.ok:
                self._ready.append(result.get())
            else:
                self.dropped["lost"] += 1
