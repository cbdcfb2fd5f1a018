"""Shares the newest policy with programs outside of the cluster that drive stages of their own."""

import logging
import threading
from typing import Any

from cluster.newest import Follower
from hitl.client.training import TrainingClient
from hitl.errors import HandrailError, StaleEpoch
from hitl.events import Run
from hitl.policies import SharedPolicy
from policies.acting.counsel import without_committee

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05


class PolicySharer:
    """A Ray actor that passes policies on as they come; those that come faster than they go are skipped."""

    def __init__(
        self, *, address: str, token: str, run: Run, policies: Any, model_config: dict[str, Any]
    ) -> None:
        """Prepare; `share` begins.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            policies: handle of the `Newest` that has the policy's weights.
            model_config: of the policy's network.
        """
        self._client, self._run = TrainingClient(address, token), run
        self._policies, self._model_config = Follower(policies), model_config
        self._ending = threading.Event()

    def share(self) -> None:
        """Share until `end`, over whatever goes wrong."""
        while not self._ending.wait(_LOOK_SECONDS):
            if (newer := self._policies.look()) is None:
                continue
            published, weights = newer
            policy = SharedPolicy(
                version=published.version,
                weights=without_committee(weights),
                network=self._model_config,
            )
            try:
                self._client.publish_policy(self._run, policy)
            except StaleEpoch as error:
                logger.warning("policies are shared no longer: %s", error)
                return
            except HandrailError as error:
                logger.warning("policy %d is not shared: %s", policy.version, error)

    def end(self) -> None:
        """Stop sharing."""
        self._ending.set()
