"""Requests to env runners and the batches that come of them.

At most one request is under way at each env runner. Where sampling overlaps with learning, whoever hands a rollout
over while others are waited for goes on with the next one, and stands still only when it is a whole rollout ahead. A
batch takes one rollout of each; it closes when its rows are together, or without those who take longer than a timeout.
What comes late joins a later batch, unless its policy is too old by then. A dead env runner is waited for by nobody:
RLlib restarts it, and it gets a request when it is back. One that hangs is ended, and restarted in the same way.

In lockstep no clock and no death may decide what is learnt from: all are waited for, and if one is lost or hangs, the
life of the driver ends. The next one goes on from the last checkpoint to the same numbers.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from cluster.behaviour import Behaviour
from cluster.loop.rollouts.env_runner import HITLEnvRunner, Sample
from hitl.errors import DeadlineExceeded, Unavailable

logger = logging.getLogger(__name__)

_TAG = "collect"
_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 10.0
"""For env runners to end what they do as the run stops."""


class Sampler:
    """Keeps env runners busy and hands out what they gathered."""

    def __init__(
        self,
        group: EnvRunnerGroup,
        *,
        batch_rows: int,
        timeout_seconds: float,
        give_up_seconds: float,
        max_lag: int,
        lockstep: bool,
    ) -> None:
        """Begin.

        Args:
            group: the env runners.
            batch_rows: rows at which a batch is complete.
            timeout_seconds: for which a batch waits for a request, but in lockstep.
            give_up_seconds: after which an env runner hangs.
            max_lag: updates; what is older is dropped.
            lockstep: whether a batch takes exactly one rollout of each.
        """
        self._group = group
        self._manager: Any = group._worker_manager
        self._batch_rows = batch_rows
        self._timeout_seconds = float("inf") if lockstep else timeout_seconds
        self._give_up_seconds = give_up_seconds
        self._max_lag = max_lag
        self._lockstep = lockstep
        self._since: dict[ray.ObjectRef, float] = {}
        """When each request under way was first seen."""
        self._ready: list[Sample] = []
        """For the next batch."""
        self.dropped: Counter[str] = Counter()
        """Rollouts that were never used, by reason: stale, lost."""

    def request(
        self,
        *,
        behaviour: Behaviour,
        weights: ray.ObjectRef,
        reward_model: ray.ObjectRef | None,
        start: int,
        workers: list[int] | None = None,
    ) -> None:
        """Ask idle env runners, all or these, for a rollout; see `HITLEnvRunner.collect`.

        One that is a rollout ahead already is left out: by the time its next one counts these weights are too old.
        """
        request = {"behaviour": behaviour, "start": start}
        referred = {"weights": weights, "reward_model": reward_model}
        ahead = {sample.worker for sample in self._ready}
        if not self._group.num_remote_env_runners():
            if not ahead:
                fetched = {name: None if ref is None else ray.get(ref) for name, ref in referred.items()}
                self._ready.append(self._group.local_env_runner.collect(**request, **fetched))
            return
        asked = set(self._manager.healthy_actor_ids() if workers is None else workers) - ahead
        # RLlib takes no numbers at all for all numbers.
        if asked:
            # Not by its name: RLlib would make a function of that, and Ray pack the function for each.
            self._group.foreach_env_runner_async(
                HITLEnvRunner.collect,
                kwargs={**request, **referred},
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

        Raises:
            DeadlineExceeded: in lockstep, an env runner hangs.
            Unavailable: in lockstep, an env runner was lost.
        """
        self._end_those_that_hang()
        batch: dict[int, Sample] = {}
        awaited, arrived = set(self._under_way()), self._ready
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
            awaited &= self._under_way().keys()
            awaited = {request for request in awaited if self._age(request) < self._timeout_seconds}
            if missing <= 0 or not awaited:
                break
            if ask_again and idle:
                ask_again(idle)
            arrived = self._fetch(awaited)
            if self._lockstep:
                self._end_those_that_hang()
        if not batch and self._since:
            # All are late: there is nothing to do but wait for them.
            self._ready += self._fetch(set(self._under_way()))
        fresh = [s for s in batch.values() if policy_version - s.policy_version <= self._max_lag]
        self.dropped["stale"] += len(batch) - len(fresh)
        return sorted(fresh, key=lambda sample: sample.worker)

    def _under_way(self) -> dict[ray.ObjectRef, int]:
        """Return the requests under way, with the env runner of each."""
        requests: dict[ray.ObjectRef, tuple[str, int]] = self._manager._in_flight_req_to_actor_id
        now = time.monotonic()
        under_way = {request: worker for request, (tag, worker) in requests.items() if tag == _TAG}
        self._since = {request: self._since.get(request, now) for request in under_way}
        return under_way

    def _age(self, request: ray.ObjectRef) -> float:
        return time.monotonic() - self._since[request]

    def _end_those_that_hang(self) -> None:
        """Kill env runners that have not handed over for too long; RLlib restarts them."""
        for request, worker in self._under_way().items():
            if self._age(request) < self._give_up_seconds:
                continue
            hangs = f"env runner {worker} has not handed over a rollout for {self._give_up_seconds:.0f} s"
            if self._lockstep:
                raise DeadlineExceeded(
                    f"{hangs}, and lockstep cannot go on without it: look what its environments wait for, "
                    "or raise rollouts.give_up_seconds"
                )
            logger.warning("%s: it is ended and starts anew", hangs)
            self._since[request] = time.monotonic()
            ray.kill(self._manager.actors()[worker], no_restart=False)

    def let_go(self) -> None:
        """End env runners that are busy for long: whoever stops the group would wait for them for ever."""
        under_way = self._under_way()
        _, busy = ray.wait(list(under_way), num_returns=len(under_way), timeout=_LEAVE_SECONDS)
        for request in busy:
            ray.kill(self._manager.actors()[under_way[request]])

    def _fetch(self, awaited: set[ray.ObjectRef]) -> list[Sample]:
        """Wait a little for one of these, and return all samples that have come."""
        ray.wait(list(awaited), num_returns=1, timeout=_POLL_SECONDS)
        samples = []
        for result in self._manager.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=0.0):
            if result.ok:
                samples.append(result.get())
            else:
                self.lost(1)
        return samples

    def lost(self, rollouts: int) -> None:
        """Count rollouts that died with their env runner.

        Raises:
            Unavailable: in lockstep, where nothing else can take their place.
        """
        self.dropped["lost"] += rollouts
        if self._lockstep and rollouts:
            raise Unavailable(
                "an env runner was lost with its rollout, and lockstep cannot go on without it: "
                "go on from the last checkpoint (--resume)"
            )
