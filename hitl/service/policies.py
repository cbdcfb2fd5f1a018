"""The newest policy of each run, for programs outside of the cluster: the handlers of PublishPolicy and GetPolicy.

It is kept in memory alone: a driver publishes another one soon, and who acts by an older one goes on with it.
"""

import asyncio
from asyncio import wrap_future
from datetime import timedelta
from typing import Final

from hitl.fields import check_count, check_id, decode_duration
from hitl.service.call import Call
from hitl.storage import runs
from hitl.storage.runs import RunEpoch
from hitl.storage.storage import Storage
from hitl.v1 import training_pb2
from hitl.wire.policies import decode_policy

_MAX_WAIT: Final = timedelta(seconds=60)
_MOST_RUNS: Final = 64
"""The one published longest ago is forgotten."""


class PolicyHandlers:
    """Passes policies on; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._newest: dict[str, training_pb2.Policy] = {}
        self._changed = asyncio.Condition()

    async def PublishPolicy(
        self, request: training_pb2.PublishPolicyRequest, call: Call
    ) -> training_pb2.PublishPolicyResponse:
        """Put a newer policy in the place of the one before."""
        run = RunEpoch(check_id(request.run.run_id, "run.run_id"), request.run.epoch)
        call.check_run(run.run_id)
        policy = decode_policy(request.policy)
        await wrap_future(self._storage.write(runs.lock_epoch, run))
        async with self._changed:
            known = self._newest.pop(run.run_id, None)
            is_newer = known is None or policy.version > known.version
            self._newest[run.run_id] = request.policy if is_newer or known is None else known
            while len(self._newest) > _MOST_RUNS:
                del self._newest[next(iter(self._newest))]
            self._changed.notify_all()
        return training_pb2.PublishPolicyResponse()

    async def GetPolicy(
        self, request: training_pb2.GetPolicyRequest, call: Call
    ) -> training_pb2.GetPolicyResponse:
        """Return the newest policy if it is newer than a version, as soon as there is one."""
        run_id = check_id(request.run_id, "run_id")
        call.check_run(run_id)
        newer_than = check_count(request.newer_than, "newer_than")
        wait = decode_duration(request.wait, "wait") if request.HasField("wait") else timedelta(0)
        await wrap_future(self._storage.read(runs.require_run, run_id))

        def is_there() -> bool:
            return run_id in self._newest and self._newest[run_id].version > newer_than

        async with self._changed:
            try:
                async with asyncio.timeout(min(wait, _MAX_WAIT).total_seconds()):
                    await self._changed.wait_for(is_there)
            except TimeoutError:
                return training_pb2.GetPolicyResponse()
            return training_pb2.GetPolicyResponse(policy=self._newest[run_id])
