"""The guard beside the reward trainer: what it sees of the policy and hears of people, and what becomes of an alarm."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.fresh import FreshRollouts
from cluster.runs.reward.config import RewardConfig
from hitl.events import Segment
from hitl.reward.checks.alarms import AlarmState
from hitl.reward.checks.on_policy import JudgedSteps
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import FitReport, OnlineRewardModel

logger = logging.getLogger(__name__)

_STEPS, _IMAGES = 1024, 128
"""Of a batch that are looked at, and of what people judged: so many, or so many with images."""


class Guard:
    """Raises alarms, and wants questions where the run file says that people are to be asked first."""

    def __init__(self, reward: RewardConfig, space: InputSpace) -> None:
        """Begin.

        Args:
            reward: settings.
            space: what the reward model looks at. One that remembers is not looked at: no alarm is raised for it.
        """
        self._guards = reward.guards
        self._settings = reward.guards.alarms(budget=reward.questions.budget)
        self._space = space
        self._most = _IMAGES if space.images else _STEPS
        self._judged = JudgedSteps(self._most, space.reads)
        self._batches = 0
        """Of rollouts that were looked at."""
        self._has_asked = False
        self.state = AlarmState()
        """Plain numbers; who takes it over goes on from there."""
        self.rollbacks = 0

    def take(self, segments: Sequence[Segment]) -> None:
        """Take note of what people said something about."""
        self._judged.take(segments)

    def adopt(self, state: AlarmState | None) -> None:
        """Go on from what the driver has kept, if that is further."""
        if state is not None and state.batches > self.state.batches:
            self.state = state

    def look(self, fresh: FreshRollouts, model: OnlineRewardModel, *, env_steps: int) -> None:
        """Look at the newest batch, if nobody has yet, with the newest version."""
        if fresh.batches == self._batches:
            return
        self._batches = fresh.batches
        judged = self._judged.arrays()
        if judged is None or not fresh.newest_batch() or self._space.memory_units:
            return
        # Of its own, so that looking changes nothing.
        rng, with_next = np.random.default_rng(env_steps), self._space.reads == "state_action_next"
        steps = fresh.draw_steps(self._most, rng, with_next=with_next, newest=True)
        seen = model.look(steps, judged)
        self._turn_to(self.state.see(seen, self._settings, env_steps=env_steps))

    def hear(self, report: FitReport | None, asking: Asking, *, env_steps: int) -> None:
        """Take note of how well a version foresaw the answers that the next one has learnt from."""
        if report is None:
            return
        if report.rolled_back:
            self.rollbacks += 1
            logger.warning("an earlier reward version is back: the newest answers speak for it")
        if "comparisons" in report.kinds:
            losses = report.kinds["comparisons"].newest_log_losses
            self._turn_to(self.state.hear(losses, self._settings, env_steps=env_steps))
        if self._has_asked and not asking.open:
            self._has_asked = False
            self.state = self.state.cleared()

    def wanted(self, asking: Asking, *, fit_is_due: bool) -> int:
        """Return how many questions to ask at once about the newest behaviour."""
        if self.state.reason is None or self._guards.on_alarm != "ask":
            return 0
        if self._has_asked and (asking.open or fit_is_due):
            return 0
        return asking.at_once(self._guards.questions)

    def has_asked(self) -> None:
        """Take note of a round of questions: an alarm that waits for answers holds until they are in a fit."""
        self._has_asked = self.state.reason is not None and self._guards.on_alarm == "ask"

    def thaw(self) -> None:
        """Let a person end the alarm."""
        self.state, self._has_asked = self.state.cleared(), False

    def _turn_to(self, state: AlarmState) -> None:
        if len(state.raised) > len(self.state.raised):
            logger.warning("alarm (%s): %s; reward.guards.on_alarm: %s", *_told(state), self._guards.on_alarm)
        elif self.state.reason is not None and state.reason is None:
            logger.warning("the alarm (%s) has cleared", self.state.reason)
        self.state = state


def alarms_told(state: AlarmState) -> dict[str, Any]:
    """Return what a row of progress says of the alarms."""
    newest = state.newest
    return {
        "alarms": dict(Counter(reason for _, reason in state.raised)),
        "alarm_env_steps": state.raised[-1][0] if state.raised else None,
        "alarm_holds": state.reason is not None,
        "policy_disagreement": newest.disagreement if newest else None,
        "saturated_share": newest.saturation if newest else None,
    }


def _told(state: AlarmState) -> tuple[str, str]:
    assert state.reason is not None
    assert state.newest is not None
    numbers = {
        "agreement": "the reward model promises more, and people's newest answers contradict it",
        "disagreement": f"on what the policy does its members disagree {state.newest.disagreement:.1f} times as much "
        "as on what people judged",
        "saturation": f"{state.newest.saturation:.0%} of the policy's steps have more reward than anything that people "
        "judged",
    }
    return state.reason, numbers[state.reason]
