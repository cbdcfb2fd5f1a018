"""The reward trainer: follows the journal, fits the reward model, publishes versions and asks questions.

A Ray actor of its own, so that neither sampling nor learning waits for it. Killed, it comes back from the journal
and the segment store; the driver hands it the last version that it published. In lockstep the driver ends with it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from numpy.typing import NDArray

from cluster.feedback.asking import Asking, AskingState
from cluster.feedback.demonstrated import complaint
from cluster.feedback.evidence import ASKED_FOR, online_model
from cluster.feedback.fresh import FreshRollouts
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.own_segments import OwnSegments
from cluster.feedback.pair_questions import PairQuestions
from cluster.feedback.probe import draw_probe
from cluster.feedback.teacher_watch import TeacherWatch
from cluster.feedback.teaching_state import TeachingState
from cluster.feedback.versions import Versions, model_arrays, probe_of, with_probe
from cluster.newest import Published
from cluster.runs.reward.config import RewardConfig
from hitl.client.training import TrainingClient
from hitl.errors import DeadlineExceeded, HandrailError
from hitl.events import Correction, Demonstration, JournalEntry, Judgement, Relabel, Run, Segment, Signal
from hitl.reward.evidence.rows import Observations
from hitl.reward.evidence.signals import Signals
from hitl.reward.online import FitReport
from policies.threads import use_threads

logger = logging.getLogger(__name__)

_WORK_SECONDS = 0.05
_BURST_SECONDS = 0.1
"""Answers come in bursts, and one fit serves them all."""


class RewardTrainer:
    """Follows, fits, publishes, asks: by itself in a thread, or one step at a time in lockstep."""

    def __init__(
        self,
        *,
        address: str,
        token: str,
        run: Run,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        reward: RewardConfig,
        publisher: Any,
        board: Any,
        reads_from: Sequence[str],
        life: str,
        seed: int,
        lockstep: bool,
    ) -> None:
        """Connect, read the journals so far, and begin.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            observation_space: of one environment.
            action_space: of one environment.
            reward: settings; the baseline of signals is decided.
            publisher: handle of the actor that asks.
            board: handle of the `Newest` from which stages take the model; None where there are none.
            reads_from: runs whose feedback counts as well, first.
            life: of the driver, by the name that begins the ids of its questions.
            seed: of the model and the questions.
            lockstep: wait for `advance` instead of working in a thread.
        """
        use_threads(1)
        self._lockstep = lockstep
        self._client = TrainingClient(address, token)
        self._run = run
        self._spaces = observation_space, action_space
        self._model = online_model(reward, observation_space, action_space, seed=seed)
        self._rng = np.random.default_rng(seed)
        questions = reward.questions
        self._fresh = FreshRollouts(clips=questions.clips, batches=questions.fresh_batches)
        self._segment_steps = questions.segment_steps
        self._probe: tuple[Observations, NDArray[Any]] | None = None
        self._env_steps = 0
        self._quick_steps = reward.signals.gradient_steps
        self._new_live = 0
        """Pieces of evidence whose teacher is watching, and that are not learnt yet."""
        self._journal_end = 0
        self._versions = Versions(self._client, run, board)
        self._report: FitReport | None = None
        self._refused = 0
        self._base: Published | None = None
        self._news = threading.Event()
        stands = self._client.get_run(run.run_id)
        # A life in lockstep asks again what a lost one asked, by the same ids, and finds the answers in the journal.
        self._teachers = TeacherWatch(reward, run.run_id, seed=seed)
        self._asking = Asking(
            questions.rounds,
            run if lockstep else stands,
            prefix=f"q{life}-",
            publisher=publisher,
            expire_seconds=questions.expire_seconds,
            # Clips take a while.
            waits=not questions.clips,
            share=self._teachers.share,
        )
        self._own = OwnSegments(
            self._model.evidence.get("demonstrations"),
            run,
            steps=questions.segment_steps,
            every_env_steps=reward.demonstrations.refit_env_steps,
            seed=seed,
        )
        self._pairs = PairQuestions(questions, reward.model, run, self._asking, timed=not lockstep, seed=seed)
        self._unread: list[tuple[JournalEntry, Sequence[Segment]]] = []
        self._fit_due_since: float | None = None
        """When something came that wants a whole fit."""
        self._others = [self._follow(self._client.get_run(other)) for other in reads_from]
        self._read_others()
        self._journal = self._follow(stands)
        if not lockstep:
            threading.Thread(target=self._work, name="reward trainer", daemon=True).start()

    def _follow(self, run: Run) -> JournalFollower:
        """Read a run's journal as it stands, and go on in a thread."""
        journal = JournalFollower(self._client, run.run_id, news=self._news)
        if not journal.wait_for(run.journal_end) and self._lockstep:
            raise DeadlineExceeded(f"the journal of run {run.run_id} could not be read in time")
        return journal

    def observe(
        self, rollouts: dict[str, list[ray.ObjectRef]], *, env_steps: int, base: Published | None
    ) -> None:
        """Take note of a batch of rollouts.

        Args:
            rollouts: boxed references by name.
            env_steps: of the run, with this batch.
            base: the newest version that the driver knows; taken over if this trainer knows none so new.
        """
        self._fresh.add_batch(rollouts)
        # Calls that waited for this actor to start come in any order.
        self._env_steps = max(self._env_steps, env_steps)
        if base is not None and (self._base is None or base.version > self._base.version):
            self._base = base
        self._news.set()

    def show_played(self, stage_id: str, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        """Take note of all that a stage can render; boxed references by name."""
        self._fresh.show_played(stage_id, rollouts)
        self._news.set()

    def get_state(self) -> AskingState:
        """Return what a checkpoint in lockstep needs beside the newest version."""
        return self._asking.get_state()

    def set_state(self, base: Published, state: AskingState) -> None:
        """Go on in lockstep from a checkpoint: what was asked after it is asked again."""
        self._adopt(base)
        self._asking.set_state(state)
        self._read_journal()
        self._model.has_learnt()
        self._fit_due_since, self._new_live = None, 0

    def begin_anew(self, seed: int) -> None:
        """Make what follows a function of what a checkpoint holds and of a seed, as for one who goes on from it."""
        self._fresh.clear()
        self._model.begin_anew(seed)
        self._pairs.begin_anew(seed)
        self._own.begin_anew(seed)
        self._teachers.begin_anew(seed)

    def state(self) -> TeachingState:
        """Return where teaching stands; quick, and never waiting for a fit."""
        signals = self._model.evidence.get("signals")
        return TeachingState(
            newest=self._versions.newest,
            asked=self._asking.asked,
            answered=self._asking.answers,
            report=self._report,
            refused=self._refused,
            rollouts=self._fresh.has_batches,
            unplaced_signals=signals.unplaced if isinstance(signals, Signals) else 0,
            delays=signals.crediting.mean_delays(self._run.run_id) if isinstance(signals, Signals) else {},
            segments_without_clip=self._asking.without_clip,
            not_worth_asking=self._pairs.not_worth,
            teachers=self._teachers.reports(self._report),
            agreement=self._teachers.agreement,
        )

    def advance(
        self,
        rollouts: dict[str, list[ray.ObjectRef]],
        *,
        env_steps: int,
        base: Published | None,
        timeout_seconds: float,
    ) -> TeachingState:
        """Do in lockstep what is due: ask, wait for the answers, fit, publish.

        Raises:
            DeadlineExceeded: the answers did not come in time.
        """
        self.observe(rollouts, env_steps=env_steps, base=base)
        self._prepare()
        self._ask_if_due()
        self._asking.wait_for_answers(self._look, timeout_seconds=timeout_seconds)
        self._fit_if_due()
        return self.state()

    def _look(self) -> None:
        self._news.wait(_WORK_SECONDS)
        self._read_journal()

    def _work(self) -> None:
        while True:
            self._news.wait(_WORK_SECONDS)
            try:
                self._prepare()
                self._read_others()
                self._read_journal()
                since = self._fit_due_since
                if since is not None and time.monotonic() - since >= _BURST_SECONDS:
                    self._fit_if_due()
                elif self._new_live:
                    self._fit_quickly()
                self._ask_if_due()
            except (HandrailError, ray.exceptions.RayError) as error:
                logger.warning("the reward trainer goes on after: %s", error)
                time.sleep(1.0)

    def _prepare(self) -> None:
        """Take over the driver's version if it is newer, or fix the probe set once there is experience for it."""
        if self._base is not None and self._base.version > self._versions.version:
            self._adopt(self._base)
        # Live teachers are not kept waiting for the first questions.
        is_time = self._new_live or self._env_steps >= self._asking.schedule.initial_env_steps
        if self._probe is None and is_time and self._fresh.has_batches:
            self._set_probe(
                *draw_probe(
                    self._fresh,
                    self._model.ensemble.space,
                    segment_steps=self._segment_steps,
                    rng=self._rng,
                )
            )
        if self._probe is not None and self._own.show_if_due(self._fresh, self._env_steps):
            self._fit_due_since = self._fit_due_since or time.monotonic()

    def _read_journal(self) -> None:
        self._news.clear()
        read, self._unread = [*self._unread, *self._journal.take()], []
        if read:
            self._journal_end = read[-1][0].offset + 1
        for entry, segments in read:
            event = entry.event
            if isinstance(event, Judgement):
                if self._lockstep and self._asking.is_still_to_ask(event.question_id):
                    self._unread.append((entry, segments))
                    continue
                self._asking.take_answer(event.question_id)
                self._pairs.take_answer(event, segments)
            self._take(entry, segments)
        self._teachers.look()

    def _read_others(self) -> None:
        for journal in self._others:
            for entry, segments in journal.take():
                self._take(entry, segments)

    def _take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        if isinstance(entry.event, Demonstration) and (why := complaint(segments, *self._spaces)):
            logger.warning("a demonstration of %s is left out: %s", entry.teacher_id, why)
            return
        self._model.take(entry, segments)
        self._teachers.take(entry)
        if isinstance(entry.event, Signal):
            self._new_live += "signals" in self._model.evidence
        elif isinstance(entry.event, Correction):
            self._new_live += len(entry.event.actions) if "corrections" in self._model.evidence else 0
        elif isinstance(entry.event, Relabel) and "corrections" not in self._model.evidence:
            return
        elif self._fit_due_since is None:
            self._fit_due_since = time.monotonic()

    def _fit_if_due(self) -> None:
        if self._lockstep and self._new_live and self._fit_due_since is None:
            self._fit_quickly()
        if self._fit_due_since is None or self._probe is None or self._first_round_is_incomplete():
            return
        self._publish_if_better(self._model.fit(is_first=not self._versions.version))
        # Only now: what stops the publishing must not lose the answers behind it.
        self._fit_due_since, self._new_live = None, 0

    def _fit_quickly(self) -> None:
        """Learn from the newest signals and corrections at once: their teacher is watching."""
        if self._probe is None:
            return
        steps, newest = self._quick_steps, self._new_live
        report = self._model.fit(quick_steps=steps, newest=newest, is_first=not self._versions.version)
        self._publish_if_better(report, soon_more=True)
        self._new_live -= newest

    def _publish_if_better(self, report: FitReport | None, *, soon_more: bool = False) -> None:
        self._report = report or self._report
        if report and report.accepted:
            assert self._probe is not None
            self._versions.publish(
                with_probe(self._model.weights(), *self._probe),
                env_steps=self._env_steps,
                journal_end=self._journal_end,
                soon_more=soon_more,
            )
        elif report:
            self._refused += 1
            logger.warning("a reward version was refused: worse on held-out feedback (%s)", report)

    def _first_round_is_incomplete(self) -> bool:
        """Whether the first version should wait: one of a few answers would mislead the policy."""
        asking, known = self._asking, self._model.evidence
        if self._versions.version or any(len(known[name]) for name in known.keys() - ASKED_FOR):
            return False
        answers = max(len(asking.answered), sum(len(known[name]) for name in known.keys() & ASKED_FOR))
        return asking.open > 0 and answers < asking.schedule.initial

    def _ask_if_due(self) -> None:
        if self._probe is not None:
            fresh, version = self._fresh.to_ask_about(), self._versions.version
            self._pairs.ask_if_due(fresh, self._model, env_steps=self._env_steps, reward_version=version)

    def _set_probe(self, observation_PO: Observations, action_PA: NDArray[Any]) -> None:
        self._probe = (observation_PO, action_PA)
        self._model.set_probe(observation_PO, action_PA)

    def _adopt(self, base: Published) -> None:
        arrays = ray.get(base.boxed[0])
        self._probe = probe_of(arrays)
        self._model.set_probe(*self._probe)
        self._model.load(model_arrays(arrays))
        self._versions.adopt(base)
        self._asking.skip_rounds_until(self._env_steps)
