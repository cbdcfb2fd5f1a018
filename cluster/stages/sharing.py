"""Shares the newest policy and reward model with programs outside of the cluster that drive stages of their own."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cluster.feedback.versions import model_arrays
from cluster.newest import Follower, Published
from hitl.client.training import TrainingClient
from hitl.errors import HandrailError, StaleEpoch
from hitl.events import Run
from hitl.policies import ActingSettings, SharedPolicy, SharedReward
from hitl.reward.settings import InputSettings
from policies.acting.counsel import without_committee

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05
_AGAIN_SECONDS = 10.0
"""The service keeps what is shared in memory alone, and may have been away or begun anew."""

_Shared = TypeVar("_Shared")


class PolicySharer:
    """A Ray actor that passes both on as they come; those that come faster than they go are skipped."""

    def __init__(
        self,
        *,
        address: str,
        token: str,
        run: Run,
        policies: Any,
        rewards: Any,
        model_config: dict[str, Any],
        acting: ActingSettings,
        inputs: InputSettings | None,
    ) -> None:
        """Prepare; `share` begins.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            policies: handle of the `Newest` that has the policy's weights.
            rewards: handle of the `Newest` that has the reward model; None: there is none.
            model_config: of the policy's network.
            acting: who acts.
            inputs: what the reward model reads; None: the default.
        """
        client, self._run = TrainingClient(address, token), run
        self._network, self._acting = model_config, acting
        self._inputs = None if rewards is None else inputs or InputSettings()
        self._passes = (
            _Passing(policies, self._policy, lambda policy: client.publish_policy(run, policy)),
            _Passing(rewards, self._reward, lambda reward: client.publish_reward_model(run, reward)),
        )
        self._ending = threading.Event()

    def share(self) -> None:
        """Share until `end`, over whatever goes wrong."""
        while not self._ending.wait(_LOOK_SECONDS):
            for passing in self._passes:
                try:
                    passing.look()
                except StaleEpoch as error:
                    logger.warning("nothing is shared any longer: %s", error)
                    return
                except HandrailError as error:
                    logger.warning("not shared, to be tried again: %s", error)

    def end(self) -> None:
        """Stop sharing."""
        self._ending.set()

    def _policy(self, published: Published, weights: Any) -> SharedPolicy:
        return SharedPolicy(
            version=published.version,
            weights=without_committee(weights),
            network=self._network,
            acting=self._acting,
            inputs=self._inputs,
            reward_weight=published.reward_weight,
        )

    def _reward(self, published: Published, arrays: Any) -> SharedReward:
        return SharedReward(
            version=published.version, arrays=model_arrays(arrays), journal_end=published.journal_end
        )


class _Passing(Generic[_Shared]):
    """Passes one of them on as it comes, and again now and then."""

    def __init__(
        self, newest: Any, made: Callable[[Published, Any], _Shared], publish: Callable[[_Shared], None]
    ) -> None:
        self._follower, self._made, self._publish = Follower(newest), made, publish
        self._shared: _Shared | None = None
        self._due = 0.0

    def look(self) -> None:
        """Publish it if it is new, or has not been published for long.

        Raises:
            HandrailError: it could not be published.
        """
        if newer := self._follower.look():
            self._shared, self._due = self._made(*newer), 0.0
        if self._shared is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _AGAIN_SECONDS
        self._publish(self._shared)
