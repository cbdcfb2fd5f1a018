"""The label reader: gathers what experts do, and publishes immutable versions of it for the learner.

Experts that are programs label rollouts; what people correct, and what they do with the controls of a stage, stands in
the run's journal. A Ray actor of its own, so that labels never travel through the driver.
Killed, it comes back with what the journal says; programs give their labels anew in every rollout.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray

from cluster.demonstrations.sources import read_sources
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.service import FeedbackLink
from cluster.newest import Published
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError
from hitl.events import Correction, JournalEntry, Retraction, Segment
from policies.experience import Rollout
from policies.imitation.labels import Labels, LabelStore
from policies.threads import use_threads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsState:
    """Where imitation stands."""

    newest: Published | None
    """A `policies.imitation.labels.Labels`; None before the first label."""
    labels: int
    """That the program has given so far."""
    corrected: int = 0
    """States in which people have said or shown what to do."""
    demonstrated: int = 0
    """Labels that were there before the run."""


class LabelReader:
    """Gathers labels from rollouts."""

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        heldout_share: float,
        most_labels: int | None,
        link: FeedbackLink | None = None,
        demonstrations: Sequence[str] = (),
    ) -> None:
        """Begin without labels.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            heldout_share: see `LabelStore`.
            most_labels: see `LabelStore`.
            link: to the feedback of people; None where nobody corrects.
            demonstrations: sources of labels from before the run; see `read_sources`.
        """
        use_threads(1)
        self._journals: list[tuple[str, JournalFollower]] = []
        """Each with what names of other runs begin with."""
        if link is not None:
            client, news = TrainingClient(link.address, link.token), threading.Event()
            for other in link.reads_from:
                journal = JournalFollower(client, other, news=news)
                journal.wait_for(client.get_run(other).journal_end)
                self._journals.append((f"{other}/", journal))
            self._journals.append(("", JournalFollower(client, link.run_id, news=news)))
        self._store = LabelStore(
            observation_space, action_space, heldout_share=heldout_share, most_labels=most_labels
        )
        self._spaces, self._sources = (observation_space, action_space), demonstrations
        self._taken = self._corrected = 0
        self._demonstrated: int | None = None
        self._newest: Published | None = None

    def get_state(self) -> tuple[int, Labels]:
        """Return what a checkpoint keeps: the labels of programs, and how many they gave."""
        return self._taken, self._store.without_keys()

    def set_state(self, state: tuple[int, Labels]) -> None:
        """Go on from a checkpoint; demonstrations are read anew, and what people said comes from the journal."""
        self.read_demonstrations()
        self._taken, labels = state
        self._store.resume(labels)

    def read_demonstrations(self) -> int:
        """Read them, where that has not been done, before any other labels; returns how many there are.

        Raises:
            ConfigError: they are not there, are of another task, or are damaged, or none of them trains.
        """
        if self._demonstrated is None:
            self._demonstrated = read_sources(self._sources, self._store, *self._spaces)
            if self._demonstrated and self._store.labels().heldout_B.all():
                raise ConfigError(
                    "imitation.demonstrations: every episode of them is held out, so that none trains; "
                    "set imitation.heldout_share to 0, or demonstrate more episodes"
                )
        return self._demonstrated

    def take(self, rollouts: list[list[ray.ObjectRef]]) -> LabelsState:
        """Take the labels of rollouts, given as boxed references, and return what there is with them."""
        demonstrated = self.read_demonstrations()
        for boxed in rollouts:
            try:
                self._take(ray.get(boxed[0]))
            except ray.exceptions.ObjectLostError:
                continue
        for run, journal in self._journals:
            for entry, segments in journal.take():
                self._read(entry, segments, run)
        labels = self._store.labels()
        if len(labels) and (self._newest is None or self._newest.version != labels.version):
            self._newest = Published(version=labels.version, boxed=[ray.put(labels)])
        return LabelsState(
            newest=self._newest, labels=self._taken, corrected=self._corrected, demonstrated=demonstrated
        )

    def _read(self, entry: JournalEntry, segments: Sequence[Segment], run: str) -> None:
        event, teacher = entry.event, f"{run}{entry.teacher_id}"
        if isinstance(event, Retraction):
            self._store.retract(f"{teacher}/{event.retracted_event_id}")
        elif isinstance(event, Correction) and segments:
            (segment,) = segments
            address = segment.address
            try:
                self._store.add(
                    np.asarray(segment.observations["obs"]).reshape(len(segment), -1),
                    np.asarray(segment.actions),
                    group=f"{run}{address.source}/{address.episode}",
                    key=f"{teacher}/{event.event_id}",
                )
            except ValueError as error:
                logger.warning("a correction does not fit the task, and is left out: %s", error)
                return
            self._corrected += len(segment)

    def _take(self, rollout: Rollout) -> None:
        if rollout.labelled_TN is None or rollout.wanted_TNA is None:
            return
        for n in range(rollout.labelled_TN.shape[1]):
            labelled_T = rollout.labelled_TN[:, n]
            episode_T = rollout.episode_TN[:, n]
            for episode in np.unique(episode_T[labelled_T]):
                rows = np.flatnonzero(labelled_T & (episode_T == episode))
                observation_BO = rollout.observation_TNO[rows, n].reshape(len(rows), -1)
                self._store.add(
                    observation_BO, rollout.wanted_TNA[rows, n], group=f"{rollout.source}/{episode}"
                )
                self._taken += len(rows)
