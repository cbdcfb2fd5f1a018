"""The signal reader: gathers what people say of the policy that they see, and publishes it in versions for the learner.

A Ray actor of its own, for readings of a signal that are not the reward model's (docs/readings.md). Killed, it comes
back with what the journal says.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray

from cluster.feedback.evidence import crediting_of
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.service import FeedbackLink
from cluster.newest import Published
from cluster.runs.reward.signals import SignalsConfig
from hitl.client.training import TrainingClient
from hitl.events import JournalEntry, Retraction, Segment, Signal
from hitl.reward.network.inputs import InputSpace
from policies.signals.signal_store import SignalStore
from policies.spaces import flat_dtype
from policies.threads import use_threads

logger = logging.getLogger(__name__)

_SMALLEST_TRACE = 0.01
"""A trace is not followed beyond the step at which so little of a signal is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsState:
    """Where signals about the policy stand."""

    newest: Published | None = None
    """A `policies.signals.signal_batch.SignalBatch`; None before the first signal."""
    count: int = 0
    """That are learnt from now."""
    unplaced: int = 0
    """That are about no step that is known, or about none that the policy took."""
    expired: int = 0
    """That were about a policy of too long ago."""


class SignalReader:
    """Gathers the signals of a run."""

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        signals: SignalsConfig,
        link: FeedbackLink,
        seed: int,
    ) -> None:
        """Begin to read the journal.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            signals: how they are read.
            link: to the run's feedback.
            seed: of delays that are fitted.
        """
        use_threads(1)
        self._settings = signals.settings
        self._crediting = crediting_of(signals, InputSpace.of(observation_space, action_space), seed=seed)
        self._store = SignalStore(observation_space, action_space, about_policy=self._settings.about_policy)
        self._dtype = flat_dtype(observation_space)
        client = TrainingClient(link.address, link.token)
        self._journal = JournalFollower(client, link.run_id, news=threading.Event())
        self._unplaced = 0
        self._newest: Published | None = None

    def take(self, policy_version: int) -> SignalsState:
        """Return what there is to learn a policy of this version from."""
        for entry, segments in self._journal.take():
            self._read(entry, segments)
        self._store.drop_older(policy_version - self._settings.most_versions)
        batch = self._store.batch()
        if len(batch) and (self._newest is None or self._newest.version != batch.version):
            self._newest = Published(version=batch.version, boxed=[ray.put(batch)])
        return SignalsState(
            newest=self._newest if len(batch) else None,
            count=len(batch),
            unplaced=self._unplaced + self._store.not_policy,
            expired=self._store.expired,
        )

    def _read(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        event = entry.event
        if isinstance(event, Retraction):
            self._store.retract(f"{entry.teacher_id}/{event.retracted_event_id}")
        elif isinstance(event, Signal):
            try:
                self._take(event, entry, segments)
            except ValueError as error:
                logger.warning("a signal does not fit the task, and is left out: %s", error)

    def _take(self, signal: Signal, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        found = self._crediting.take(entry, segments)
        if found is None:
            self._unplaced += 1
            return
        shown, credit_L = found
        some = np.flatnonzero(credit_L)
        # What led there as well, as far as a trace reaches.
        rows = slice(max(int(some[0]) - self._reach, 0), int(some[-1]) + 1)
        self._store.add(
            key=f"{entry.teacher_id}/{signal.event_id}",
            value=signal.value,
            observation_LO=shown.observation_LO[rows].astype(self._dtype),
            action_LA=shown.action_LA[rows],
            credit_L=credit_L[rows],
            policy_version_L=shown.policy_version_L[rows],
            acted_L=shown.acted_L[rows],
            begin_L=shown.first_L[rows],
        )

    @property
    def _reach(self) -> int:
        decay = self._settings.trace_decay
        if self._settings.reading != "advantage" or not decay:
            return 0
        return 1_000_000 if decay == 1 else int(np.ceil(np.log(_SMALLEST_TRACE) / np.log(decay)))
