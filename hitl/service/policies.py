"""The newest policy and reward model of each run, for programs outside of the cluster: who publishes and who gets them.

They are kept in memory alone: a driver publishes them again soon, and who acts by older ones goes on with those.
"""

import asyncio
from asyncio import wrap_future
from datetime import timedelta
from typing import Final, Generic, TypeVar

from hitl.fields import check_count, check_id, decode_duration
from hitl.service.call import Call
from hitl.storage import runs
from hitl.storage.runs import RunEpoch
from hitl.storage.storage import Storage
from hitl.v1 import training_pb2
from hitl.wire.policies import decode_policy, decode_reward_model

_MAX_WAIT: Final = timedelta(seconds=60)
_MOST_RUNS: Final = 64
"""The one published longest ago is forgotten."""

_Versioned = TypeVar("_Versioned", training_pb2.Policy, training_pb2.RewardModel)


class PolicyHandlers:
    """Passes policies and reward models on; the errors raised here become status codes at the border."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._policies: _Newest[training_pb2.Policy] = _Newest()
        self._reward_models: _Newest[training_pb2.RewardModel] = _Newest()

    async def PublishPolicy(
        self, request: training_pb2.PublishPolicyRequest, call: Call
    ) -> training_pb2.PublishPolicyResponse:
        """Put a newer policy in the place of the one before."""
        run_id = self._run_id(request, call)
        decode_policy(request.policy)
        await self._lock_epoch(request)
        await self._policies.put(run_id, request.policy)
        return training_pb2.PublishPolicyResponse()

    async def GetPolicy(
        self, request: training_pb2.GetPolicyRequest, call: Call
    ) -> training_pb2.GetPolicyResponse:
        """Return the newest policy if it is newer than a version, as soon as there is one."""
        return training_pb2.GetPolicyResponse(policy=await self._newer(self._policies, request, call))

    async def PublishRewardModel(
        self, request: training_pb2.PublishRewardModelRequest, call: Call
    ) -> training_pb2.PublishRewardModelResponse:
        """Put a newer reward model in the place of the one before."""
        run_id = self._run_id(request, call)
        decode_reward_model(request.reward_model)
        await self._lock_epoch(request)
        await self._reward_models.put(run_id, request.reward_model)
        return training_pb2.PublishRewardModelResponse()

    async def GetRewardModel(
        self, request: training_pb2.GetRewardModelRequest, call: Call
    ) -> training_pb2.GetRewardModelResponse:
        """Return the newest reward model if it is newer than a version, as soon as there is one."""
        newer = await self._newer(self._reward_models, request, call)
        return training_pb2.GetRewardModelResponse(reward_model=newer)

    def _run_id(
        self, request: training_pb2.PublishPolicyRequest | training_pb2.PublishRewardModelRequest, call: Call
    ) -> str:
        run_id = check_id(request.run.run_id, "run.run_id")
        call.check_run(run_id)
        return run_id

    async def _lock_epoch(
        self, request: training_pb2.PublishPolicyRequest | training_pb2.PublishRewardModelRequest
    ) -> None:
        run = RunEpoch(request.run.run_id, request.run.epoch)
        await wrap_future(self._storage.write(runs.lock_epoch, run))

    async def _newer(
        self,
        newest: "_Newest[_Versioned]",
        request: training_pb2.GetPolicyRequest | training_pb2.GetRewardModelRequest,
        call: Call,
    ) -> _Versioned | None:
        run_id = check_id(request.run_id, "run_id")
        call.check_run(run_id)
        newer_than = check_count(request.newer_than, "newer_than")
        wait = decode_duration(request.wait, "wait") if request.HasField("wait") else timedelta(0)
        await wrap_future(self._storage.read(runs.require_run, run_id))
        return await newest.newer_than(run_id, newer_than, wait)


class _Newest(Generic[_Versioned]):
    """The newest of something, for each run."""

    def __init__(self) -> None:
        self._newest: dict[str, _Versioned] = {}
        self._changed = asyncio.Condition()

    async def put(self, run_id: str, published: _Versioned) -> None:
        """Put a newer version in the place of the one before."""
        async with self._changed:
            known = self._newest.pop(run_id, None)
            self._newest[run_id] = published if known is None or published.version > known.version else known
            while len(self._newest) > _MOST_RUNS:
                del self._newest[next(iter(self._newest))]
            self._changed.notify_all()

    async def newer_than(self, run_id: str, version: int, wait: timedelta) -> _Versioned | None:
        """Return the newest if it is newer than a version, as soon as there is one; None: there was none in time."""

        def is_there() -> bool:
            return run_id in self._newest and self._newest[run_id].version > version

        async with self._changed:
            try:
                async with asyncio.timeout(min(wait, _MAX_WAIT).total_seconds()):
                    await self._changed.wait_for(is_there)
            except TimeoutError:
                return None
            return self._newest[run_id]
