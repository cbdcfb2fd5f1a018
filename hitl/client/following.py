"""The newest policy and reward model of a run, fetched in threads while a program does something else."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from hitl.errors import RequestError
from hitl.policies import SharedPolicy, SharedReward

if TYPE_CHECKING:
    from hitl.client.training import TrainingClient

_log = logging.getLogger(__name__)

_WAIT = timedelta(seconds=1)
_AGAIN_SECONDS = 1.0
_JOIN_SECONDS = 10.0

_Shared = TypeVar("_Shared", SharedPolicy, SharedReward)


class Following:
    """Follows both from the moment that it is made."""

    def __init__(self, client: "TrainingClient", run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._lock = threading.Lock()
        self._policy: SharedPolicy | None = None
        self._reward: SharedReward | None = None
        self._closing = threading.Event()
        self.came = threading.Event()
        """Set once there was a policy, and with it the reward model that there was by then."""
        self._threads: list[threading.Thread] = []
        self._start(self._follow_policy, "policy")

    def take(self) -> tuple[SharedPolicy | None, SharedReward | None]:
        """Return what is newer than at the last call."""
        with self._lock:
            newer = self._policy, self._reward
            self._policy = self._reward = None
        return newer

    def close(self) -> None:
        """Follow no longer."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def _start(self, work: Callable[[], None], what: str) -> None:
        thread = threading.Thread(target=work, name=f"{what} of {self._run_id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow_policy(self) -> None:
        known = 0
        while not self._closing.is_set():
            if (newer := self._fetch(self._client.get_policy, known)) is None:
                continue
            begins, reward = not known and newer.inputs is not None, None
            if begins:
                # With the first policy: nobody should act by chance where a reward model knows better.
                reward = self._fetch(self._client.get_reward_model, 0, wait=None)
            with self._lock:
                self._policy, self._reward = newer, reward or self._reward
            if begins:
                self._start(self._follow_reward, "reward model")
            known = newer.version
            self.came.set()

    def _follow_reward(self) -> None:
        known = 0
        while not self._closing.is_set():
            if (newer := self._fetch(self._client.get_reward_model, known)) is not None:
                known = newer.version
                with self._lock:
                    self._reward = newer

    def _fetch(
        self, get: Callable[..., _Shared | None], known: int, *, wait: timedelta | None = _WAIT
    ) -> _Shared | None:
        try:
            return get(self._run_id, newer_than=known, wait=wait)
        except (RequestError, ValueError) as error:
            if not self._closing.is_set():
                _log.warning("nothing newer: %s", error)
            self._closing.wait(_AGAIN_SECONDS)
            return None
