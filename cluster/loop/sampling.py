"""Requests to env runners and the batches that come of them.

At most one request is under way at each env runner. Where sampling overlaps with learning, whoever hands a rollout
over while others are waited for goes on with the next one, and stands still only when it is a whole rollout ahead. A
batch takes one rollout of each; it closes when its rows are together or a bounded wait is over. What comes late joins
the next batch, unless its policy is too old by then. A dead env runner is waited for by nobody: RLlib restarts it, and
it gets a request when it is back.
"""

import time
from collections import Counter
from collections.abc import Callable
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
        batch_rows: int,
        timeout_seconds: float,
        max_lag: int,
    ) -> None:
        self._group = group
        self._manager: Any = group._worker_manager
        self._batch_rows = batch_rows
        self._timeout_seconds = timeout_seconds
        self._max_lag = max_lag
        self._ready: list[Sample] = []
        """For the next batch."""
        self.dropped: Counter[str] = Counter()
        """Rollouts that were never used, by reason: stale, lost."""

    def request(
        self, *, policy_version: int, weights: ray.ObjectRef, start: int, workers: list[int] | None = None
    ) -> None:
        """Ask idle env runners, all or these, for a rollout by these weights; see `HITLEnvRunner.collect`.

        One that is a rollout ahead already is left out: by the time its next one counts these weights are too old.
        """
        request = {"policy_version": policy_version, "start": start}
        ahead = {sample.worker for sample in self._ready}
        if not self._group.num_remote_env_runners():
            if not ahead:
                self._ready.append(self._group.local_env_runner.collect(**request, weights=ray.get(weights)))
            return
        asked = set(self._manager.healthy_actor_ids() if workers is None else workers) - ahead
        # RLlib takes no numbers at all for all numbers.
        if asked:
            # Not by its name: RLlib would make a function of that, and Ray pack the function for each.
            self._group.foreach_env_runner_async(
                HITLEnvRunner.collect,
                kwargs={**request, "weights": weights},
                tag=_TAG,
                remote_worker_ids=sorted(asked),
            )

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._under_way())

    def gather(
        self, *, policy_version: int, ask_again: Callable[[list[int]], None] | None = None
    ) -> list[Sample]:
        """Return a batch's samples, ordered by env runner; none if none is under way.

        Args:
            policy_version: the newest; samples that are too far behind it are dropped and counted.
            ask_again: called with the env runners that have handed over, while others are waited for.
        """
        deadline = time.monotonic() + self._timeout_seconds
        batch: dict[int, Sample] = {}
        awaited, arrived = self._under_way(), self._ready
        self._ready = []
        while True:
            idle = []
            for sample in arrived:
                if sample.worker in batch:
                    self._ready.append(sample)
                else:
                    batch[sample.worker] = sample
                    idle.append(sample.worker)
            missing = self._batch_rows - sum(sample.rows for sample in batch.values())
            if missing <= 0 or not awaited or time.monotonic() > deadline:
                break
            if ask_again and idle:
                ask_again(idle)
            arrived = self._fetch(awaited)
            awaited &= self._under_way()
        fresh = [s for s in batch.values() if policy_version - s.policy_version <= self._max_lag]
        self.dropped["stale"] += len(batch) - len(fresh)
        return sorted(fresh, key=lambda sample: sample.worker)

    def _under_way(self) -> set[ray.ObjectRef]:
        requests: dict[ray.ObjectRef, tuple[str, int]] = self._manager._in_flight_req_to_actor_id
        return {reference for reference, (tag, _) in requests.items() if tag == _TAG}

    def _fetch(self, awaited: set[ray.ObjectRef]) -> list[Sample]:
        """Wait a little for one of these, and return all samples that have come."""
        ray.wait(list(awaited), num_returns=1, timeout=_POLL_SECONDS)
        samples = []
        for result in self._manager.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=0.0):
            if result.ok:
                samples.append(result.get())
            else:
                self.dropped["lost"] += 1
        return samples
