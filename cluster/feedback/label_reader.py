"""The label reader: gathers what experts do, and publishes immutable versions of it for the learner.

Experts that are programs label rollouts; what people correct, what they do with the controls of a stage, and what they
answer where they are asked what to do, stands in the run's journal. A Ray actor of its own, so that labels never travel
through the driver. Killed, it comes back with what the journal says; programs give their labels anew in every rollout.
In lockstep with questions the driver ends with it.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from numpy.typing import NDArray

from cluster.demonstrations.sources import read_sources
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.questions.asking import AskingState
from cluster.feedback.questions.relabelling import Relabelling, RelabelSettings
from cluster.feedback.service import FeedbackLink
from cluster.newest import Published
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError, DeadlineExceeded
from hitl.events import Abstention, Correction, Demonstration, JournalEntry, Relabel, Retraction, Segment
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
    relabels: int = 0
    """Answers to questions what to do, skips counted."""
    skipped: int = 0
    """Those of them that name no action."""
    open_relabels: int = 0
    """Such questions that wait for a teacher."""
    segments_without_clip: int = 0
    """That were asked about though their stage could not render them."""


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
        asks: RelabelSettings | None = None,
    ) -> None:
        """Begin without labels.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            heldout_share: see `LabelStore`.
            most_labels: see `LabelStore`.
            link: to the feedback of people; None where nobody corrects.
            demonstrations: sources of labels from before the run; see `read_sources`.
            asks: what people are asked about states that the policy visits; None: nothing. It needs a link.
        """
        use_threads(1)
        self._spaces, self._sources = (observation_space, action_space), demonstrations
        self._news = threading.Event()
        self._relabelling: Relabelling | None = None
        self._journals: list[tuple[str, JournalFollower]] = []
        """Each with what names of other runs begin with."""
        if link is not None:
            self._follow(link, asks)
        self._store = LabelStore(
            observation_space, action_space, heldout_share=heldout_share, most_labels=most_labels
        )
        self._taken = self._corrected = self._relabels = self._skipped = 0
        self._demonstrated: int | None = None
        self._newest: Published | None = None

    def _follow(self, link: FeedbackLink, asks: RelabelSettings | None) -> None:
        client = TrainingClient(link.address, link.token)
        for other in link.reads_from:
            journal = JournalFollower(client, other, news=self._news)
            journal.wait_for(client.get_run(other).journal_end)
            self._journals.append((f"{other}/", journal))
        journal = JournalFollower(client, link.run_id, news=self._news)
        self._journals.append(("", journal))
        if asks is None:
            return
        stands = client.get_run(link.run_id)
        if not journal.wait_for(stands.journal_end) and asks.lockstep:
            raise DeadlineExceeded(f"the journal of run {link.run_id} could not be read in time")
        self._relabelling = Relabelling(asks, self._spaces, opened=link.run, stands=stands)

    def get_state(self) -> tuple[int, Labels, AskingState | None]:
        """Return what a checkpoint keeps: the labels of programs, how many they gave, and how far asking has come."""
        asking = self._relabelling.get_state() if self._relabelling else None
        return self._taken, self._store.without_keys(), asking

    def set_state(self, state: tuple[int, Labels, AskingState | None]) -> None:
        """Go on from a checkpoint; demonstrations are read anew, and what people said comes from the journal.

        In lockstep the answers to what was asked before the checkpoint are in its labels' version.
        """
        self.read_demonstrations()
        # Older checkpoints have no more than two.
        self._taken, labels, asking, *_ = (*state, None)
        if self._relabelling and self._relabelling.lockstep and asking:
            self._relabelling.set_state(asking)
            self._read_journals()
            self._learn_answers()
        self._store.resume(labels)

    def begin_anew(self, seed: int) -> None:
        """Make what is asked from here on a function of what a checkpoint holds and of a seed."""
        if self._relabelling:
            self._relabelling.begin_anew(seed)

    def show_played(self, stage_id: str, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        """Take note of all that a stage can render; boxed references by name."""
        if self._relabelling:
            self._relabelling.show_played(stage_id, rollouts)

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

    def take(
        self,
        rollouts: list[list[ray.ObjectRef]],
        *,
        env_steps: int = 0,
        weights: list[ray.ObjectRef] | None = None,
    ) -> LabelsState:
        """Take the labels of rollouts, ask people about their states where that is due, and return what there is.

        In lockstep the answers are waited for.

        Args:
            rollouts: boxed references.
            env_steps: of the run, with these rollouts.
            weights: boxed reference to those of the policy and its committee; None where nobody is asked.

        Raises:
            DeadlineExceeded: the answers did not come in time.
        """
        demonstrated = self.read_demonstrations()
        there = {boxed[0].hex(): boxed for boxed in rollouts if self._is_taken(boxed[0])}
        self._read_journals()
        if self._relabelling:
            self._relabelling.ask_if_due(there, env_steps=env_steps, weights=weights[0] if weights else None)
            self._relabelling.wait_for_answers(self._read_journals, news=self._news)
            self._learn_answers()
        labels = self._store.labels()
        if len(labels) and (self._newest is None or self._newest.version != labels.version):
            self._newest = Published(version=labels.version, boxed=[ray.put(labels)])
        return LabelsState(
            newest=self._newest,
            labels=self._taken,
            corrected=self._corrected,
            demonstrated=demonstrated,
            relabels=self._relabels,
            skipped=self._skipped,
            open_relabels=self._relabelling.open if self._relabelling else 0,
            segments_without_clip=self._relabelling.without_clip if self._relabelling else 0,
        )

    def _is_taken(self, rollout: ray.ObjectRef) -> bool:
        """Take the labels of a rollout; False where it is lost."""
        try:
            self._take(ray.get(rollout))
        except ray.exceptions.ObjectLostError:
            return False
        return True

    def _read_journals(self) -> None:
        self._news.clear()
        for run, journal in self._journals:
            for entry, segments in journal.take():
                if self._relabelling and not run and isinstance(entry.event, Relabel):
                    self._relabelling.hear(entry, segments)
                else:
                    self._read(entry, segments, run)

    def _learn_answers(self) -> None:
        for entry, segments in self._relabelling.take() if self._relabelling else ():
            self._read(entry, segments, "")

    def _read(self, entry: JournalEntry, segments: Sequence[Segment], run: str) -> None:
        event, teacher = entry.event, f"{run}{entry.teacher_id}"
        if isinstance(event, Retraction):
            self._store.retract(f"{teacher}/{event.retracted_event_id}")
        elif isinstance(event, Correction) and segments:
            (segment,) = segments
            key = f"{teacher}/{event.event_id}"
            self._corrected += self._add(segment, slice(None), np.asarray(segment.actions), run=run, key=key)
        elif isinstance(event, Demonstration) and segments:
            whole, key = _joined(segments), f"{teacher}/{event.event_id}"
            self._corrected += self._add(whole, slice(None), np.asarray(whole.actions), run=run, key=key)
        elif isinstance(event, Relabel):
            self._relabels += 1
            if isinstance(event.answer, Abstention):
                self._skipped += 1
                return
            (segment,) = segments
            here, key = slice(event.step, event.step + 1), f"{teacher}/{event.event_id}"
            self._add(segment, here, event.answer[None], run=run, key=key)

    def _add(self, segment: Segment, steps: slice, action_BA: NDArray[Any], *, run: str, key: str) -> int:
        """Take what people want in some states of a segment; returns in how many, 0 where it does not fit the task."""
        address = segment.address
        try:
            self._store.add(
                np.asarray(segment.observations["obs"]).reshape(len(segment), -1)[steps],
                action_BA,
                group=f"{run}{address.source}/{address.episode}",
                key=key,
            )
        except (KeyError, ValueError) as error:
            logger.warning("what was wanted in a state does not fit the task, and is left out: %s", error)
            return 0
        return len(action_BA)

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


def _joined(segments: Sequence[Segment]) -> Segment:
    """Return consecutive segments as one, which trains, or is held out, whole."""
    first, last = segments[0], segments[-1]
    return replace(
        first,
        address=replace(first.address, end=last.address.end),
        observations={
            name: np.concatenate([segment.observations[name] for segment in segments])
            for name in first.observations
        },
        actions=np.concatenate([segment.actions for segment in segments]),
    )
