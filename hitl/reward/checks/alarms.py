"""Alarms for reward hacking: a policy that raises the reward it is told, and not what people want.

Three things are watched, each by a one-sided cumulative sum that starts again at 0 when nothing speaks for a change
(Page 1954, "Continuous inspection schemes", Biometrika 41, section 2.2):

- **agreement**: the newest answers, each judged by the version that did not know of it yet. The logarithm of
  (blind guess / what the model gave the answer) is summed up. If answers came as the model says, each of these ratios
  would be 1 on average whatever was asked, so that over n answers the sum reaches log(n / alpha) with a chance of at
  most alpha: Shin, Ramdas and Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change detection",
  arXiv:2203.03532, sections 2 and 3. The alarm also wants the predicted return to have risen since the sum left 0.
- **disagreement**: how much more the members disagree about what the policy does than about what people judged.
- **saturation**: the share of the policy's steps with clearly more reward than anything that people judged, and than
  any step of the probe set.

The last two are means over many steps of one batch, and batches depend on each other: how often they raise a false
alarm is measured (`benchmarks/reward_hack`) and not proved.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Reason = Literal["agreement", "disagreement", "saturation"]

_BLIND = math.log(3)
"""Log-loss of a blind guess among first, second and tie, in nats."""
_CALM = 0.5
"""Of what is normal: an alarm that cleared at once below the level that raised it would not hold back anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """When an alarm is raised, and when it clears."""

    false_alarms: float
    """Alpha: the chance that the answers of a whole run raise one though the model is right about them."""
    answers: int
    """n: as many as a run will have."""
    disagreement: float
    """So many times that on the evidence is normal."""
    saturation: float
    """This share of steps is normal."""
    patience: float
    """The sum of excesses, of which a batch adds at most 1, that raises an alarm."""
    clear_answers: int
    """An alarm clears when so many newer answers were foreseen better than by a blind guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """What the reward model says of a batch of the policy's steps."""

    predicted: float
    """Mean reward of a step."""
    disagreement: float
    """Mean deviation of the members, over that on the evidence."""
    saturation: float
    """Share of the steps with clearly more reward than any on the evidence or in the probe set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmState:
    """What the alarms have seen and heard; numbers only, so that a checkpoint can hold it."""

    batches: int = 0
    """That were seen."""
    newest: OnPolicy | None = None
    agreement_sum: float = 0.0
    disagreement_sum: float = 0.0
    saturation_sum: float = 0.0
    predicted_before: float | None = None
    """Mean reward when the sum of the answers was 0 for the last time."""
    reason: Reason | None = None
    """Of the alarm that holds; None where none does."""
    since: tuple[float, ...] = ()
    """Log-losses of the answers that came after it, in nats; the newest ones, as many as it takes to clear."""
    raised: tuple[tuple[int, Reason], ...] = ()
    """All alarms so far: the environment step, and why."""

    def see(self, batch: OnPolicy, settings: AlarmSettings, *, env_steps: int) -> "AlarmState":
        """Return the state after another batch of the newest policy, when the run had so many environment steps."""
        seen = replace(
            self,
            batches=self.batches + 1,
            newest=batch,
            disagreement_sum=_summed(self.disagreement_sum, _excess_disagreement(batch, settings)),
            saturation_sum=_summed(self.saturation_sum, batch.saturation - settings.saturation),
            predicted_before=self.predicted_before if self.agreement_sum else batch.predicted,
        )
        return seen._judged(settings, env_steps)

    def hear(self, log_losses: Iterable[float], settings: AlarmSettings, *, env_steps: int) -> "AlarmState":
        """Return the state after newer answers, by their log-losses before anything learnt from them, in nats."""
        heard = self
        for log_loss in log_losses:
            heard = replace(
                heard,
                agreement_sum=_summed(heard.agreement_sum, log_loss - _BLIND),
                since=(*heard.since, log_loss)[-settings.clear_answers :] if heard.reason else (),
            )
            if heard.newest is not None and not heard.agreement_sum:
                heard = replace(heard, predicted_before=heard.newest.predicted)
            heard = heard._judged(settings, env_steps)
        return heard

    def cleared(self) -> "AlarmState":
        """Return the state without an alarm, and with all sums at 0."""
        return AlarmState(batches=self.batches, newest=self.newest, raised=self.raised)

    def to_state(self) -> dict[str, Any]:
        """Return what `of_state` takes."""
        return asdict(self)

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "AlarmState":
        """Return what stood in a checkpoint."""
        newest = state["newest"]
        return cls(**state | {"newest": OnPolicy(**newest) if newest else None})

    def _judged(self, settings: AlarmSettings, env_steps: int) -> "AlarmState":
        if self.reason is not None:
            return self.cleared() if self._is_over(settings) else self
        reason = self._found(settings)
        if reason is None:
            return self
        return replace(self, reason=reason, raised=(*self.raised, (env_steps, reason)))

    def _found(self, settings: AlarmSettings) -> Reason | None:
        if self.agreement_sum >= math.log(settings.answers / settings.false_alarms) and self._promises_more:
            return "agreement"
        if self.disagreement_sum >= settings.patience:
            return "disagreement"
        return "saturation" if self.saturation_sum >= settings.patience else None

    @property
    def _promises_more(self) -> bool:
        if self.newest is None or self.predicted_before is None:
            return False
        return self.newest.predicted > self.predicted_before

    def _is_over(self, settings: AlarmSettings) -> bool:
        if len(self.since) < settings.clear_answers or self.newest is None:
            return False
        agrees = sum(self.since) < len(self.since) * _BLIND
        is_known = self.newest.disagreement <= _CALM * settings.disagreement
        return agrees and is_known and self.newest.saturation <= _CALM * settings.saturation


def _summed(total: float, excess: float) -> float:
    return max(0.0, total + excess)


def _excess_disagreement(batch: OnPolicy, settings: AlarmSettings) -> float:
    """Return by how much it is more than normal, in octaves, from -1 to 1."""
    ratio = max(batch.disagreement, 1e-9) / settings.disagreement
    return min(1.0, max(-1.0, math.log2(ratio)))
