"""Fitting the reward model as people say more: when that is due, and which fits become versions."""

import logging
import time
from typing import Any

import ray
from numpy.typing import NDArray

from cluster.feedback.earlier import Earlier
from cluster.feedback.evidence import ASKED_FOR
from cluster.feedback.guarding import Guard
from cluster.feedback.questions.asking import Asking
from cluster.feedback.unlearnt import Unlearnt
from cluster.feedback.versions import Versions, model_arrays, probe_of, with_probe
from cluster.newest import Published
from cluster.runs.reward.config import RewardConfig
from hitl.reward.evidence.rows import Observations
from hitl.reward.online import FitReport, OnlineRewardModel

logger = logging.getLogger(__name__)

_WORK_SECONDS = 0.05
"""That the trainer waits for news before it looks at what is due."""
_BURST_SECONDS, _REFRESH_BURST_SECONDS = 0.1, 0.01
"""Answers come in bursts, and one fit serves them all; one of few gradient steps waits less for more of them."""


class Refitting:
    """Fits once there is a probe set, and publishes what is not worse than the version before."""

    def __init__(
        self,
        reward: RewardConfig,
        model: OnlineRewardModel,
        versions: Versions,
        *,
        asking: Asking,
        guard: Guard,
    ) -> None:
        """Begin before the first version.

        Args:
            reward: settings.
            model: what is fitted.
            versions: where a fit is published.
            asking: knows whether answers of the first round are still to come.
            guard: hears of each fit.
        """
        self._model, self._versions, self._asking, self._guard = model, versions, asking, guard
        self._quick_steps = reward.signals.gradient_steps
        self._burst_seconds = _REFRESH_BURST_SECONDS if reward.model.refresh_steps else _BURST_SECONDS
        self._probe: tuple[Observations, NDArray[Any]] | None = None
        self._base: Published | None = None
        self.unlearnt = Unlearnt()
        self.journal_end = 0
        """The feedback before this offset has been taken."""
        self.report: FitReport | None = None
        """On the newest fit."""
        self.refused = 0
        """Fits that were worse on held-out feedback."""

    @property
    def has_probe(self) -> bool:
        """Whether the scale of rewards is fixed; before that nothing is fitted."""
        return self._probe is not None

    @property
    def patience_seconds(self) -> float:
        """How long to wait for more to be said."""
        return _WORK_SECONDS if self.unlearnt.since is None else self._burst_seconds

    def set_probe(self, observation_PO: Observations, action_PA: NDArray[Any]) -> None:
        """Fix the scale of rewards on these steps; see `draw_probe`."""
        self._probe = (observation_PO, action_PA)
        self._model.set_probe(observation_PO, action_PA)

    def learn_of(self, base: Published | None) -> None:
        """Take note of a version that the driver knows."""
        if base is not None and (self._base is None or base.version > self._base.version):
            self._base = base

    def adopt_newer(self, *, env_steps: int) -> None:
        """Take over the driver's version if it is newer than all that were published here."""
        if self._base is not None and self._base.version > self._versions.version:
            self.adopt(self._base, env_steps=env_steps)

    def adopt(self, base: Published, *, env_steps: int) -> None:
        """Go on from a version, with its probe set, when the run has so many environment steps."""
        arrays = ray.get(base.boxed[0])
        self.set_probe(*probe_of(arrays))
        self._model.load(model_arrays(arrays))
        self._versions.adopt(base)
        self._asking.skip_rounds_until(env_steps)

    def fit_earlier(self, earlier: Earlier, *, env_steps: int) -> None:
        """Fit the first version to what was said before the run."""
        if self.has_probe and not self._versions.version and (report := earlier.fit_first()):
            self._publish_if_better(report, env_steps=env_steps)
            self.unlearnt.clear()

    def fit_after_burst(self, *, env_steps: int) -> None:
        """Fit to all that has come, once no burst of answers is under way; to what is live at once."""
        since = self.unlearnt.since
        if since is not None and time.monotonic() - since >= self._burst_seconds:
            self._fit(env_steps=env_steps)
        elif self.unlearnt.live:
            self._fit_quickly(env_steps=env_steps)

    def fit_to_all(self, *, env_steps: int) -> None:
        """Fit to all that has come, whenever that was."""
        if self.unlearnt.live and self.unlearnt.since is None:
            self._fit_quickly(env_steps=env_steps)
        self._fit(env_steps=env_steps)

    def _fit(self, *, env_steps: int) -> None:
        if self.unlearnt.since is None or not self.has_probe or self._first_round_is_incomplete():
            return
        report = self._model.fit(is_first=not self._versions.version)
        self._publish_if_better(report, env_steps=env_steps)
        # Only now: what stops the publishing must not lose the answers behind it.
        self.unlearnt.clear()

    def _fit_quickly(self, *, env_steps: int) -> None:
        """Learn from the newest signals and corrections at once: their teacher is watching."""
        if not self.has_probe:
            return
        steps, newest = self._quick_steps, self.unlearnt.live
        report = self._model.fit(quick_steps=steps, newest=newest, is_first=not self._versions.version)
        self._publish_if_better(report, env_steps=env_steps, soon_more=True)
        self.unlearnt.live -= newest

    def _publish_if_better(
        self, report: FitReport | None, *, env_steps: int, soon_more: bool = False
    ) -> None:
        self.report = report or self.report
        self._guard.hear(report, self._asking, env_steps=env_steps)
        if report and (report.accepted or report.rolled_back):
            assert self._probe is not None
            self._versions.publish(
                with_probe(self._model.weights(), *self._probe),
                env_steps=env_steps,
                journal_end=self.journal_end,
                soon_more=soon_more,
            )
        if report and not report.accepted:
            self.refused += 1
            logger.warning("a reward version was refused: worse on held-out feedback (%s)", report)

    def _first_round_is_incomplete(self) -> bool:
        """Whether the first version should wait: one of a few answers would mislead the policy."""
        known = self._model.evidence
        if self._versions.version or any(len(known[name]) for name in known.keys() - ASKED_FOR):
            return False
        return self._asking.is_in_first_round(sum(len(known[name]) for name in known.keys() & ASKED_FOR))
