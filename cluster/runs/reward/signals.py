"""How live signals are learnt from, in a run file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share
from policies.signals.settings import SignalSettings


class DelayConfig(Section):
    """How long after a step was shown a teacher's key is pressed for it (docs/live.md)."""

    density: Literal["gamma", "uniform", "tamer", "deep_tamer"] = "gamma"
    """gamma: as people react (Knox and Stone 2009). uniform: every delay between two is as likely. tamer and
    deep_tamer: uniform, from 0.2 to 0.8 s and from 0.28 to 4 s, as in these papers."""
    fitted: bool = False
    """Begin with this density, and fit a gamma distribution to each teacher while they teach; no delay beyond the
    longest of the density is looked for."""
    prior_signals: PositiveReal = 5.0
    """fitted: signals of a teacher that weigh as much as the density."""
    shortest_seconds: NotNegativeReal = 0.2
    """gamma and uniform: nobody is faster."""
    longest_seconds: PositiveReal = 0.8
    """uniform: nobody is slower."""
    shape: PositiveReal = 2.0
    """gamma: of the distribution, after the shortest delay."""
    scale_seconds: PositiveReal = 0.28
    """gamma: of the distribution, after the shortest delay."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.density == "uniform" and self.shortest_seconds >= self.longest_seconds:
            raise ValueError(
                f"delay: from {self.shortest_seconds} to {self.longest_seconds} s is empty; "
                "raise longest_seconds or lower shortest_seconds"
            )
        return self


class PolicySignalsConfig(Section):
    """How a policy learns from signals that are read as about it, and not as the reward (docs/readings.md)."""

    weight: NotNegativeReal = 1.0
    """Of the reading's loss beside the policy's objective, where the run has a reward, too."""
    until_env_steps: Positive | None = None
    """This weight falls linearly to 0 over so many environment steps; empty: it stays."""
    trace_decay: Share = 0.35
    """advantage: lambda, how much of a signal reaches the step before."""
    temperature: PositiveReal = 1.0
    """regret: how many standard deviations of the signals a nat of log-probability is."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """advantage, return: how far a signal may move the probability of what it is about."""
    entropy_coefficient: NotNegativeReal = 0.01
    """Of a bonus for being random where signals are given; alone only."""
    learning_rate: PositiveReal = 1e-3
    """Adam's step size; alone only."""
    most_versions: NotNegative = 10
    """advantage, return: policy versions after which a signal expires."""


class SignalsConfig(Section):
    """How live signals (plus and minus on a stage) are learnt from."""

    reading: Literal["reward", "advantage", "return", "regret"] = "reward"
    """What a signal tells: how good the step was (TAMER; the reward model learns it), how much better than what the
    policy does on average (COACH), how well it goes on, or how little was lost by it; the policy learns these."""
    baseline: Literal["auto", "none", "alternatives"] = "auto"
    """reward: what a signal is measured from. alternatives: it tells how much better an action is than others in that
    state. none: how good the step is in itself. auto: alternatives if the reward model acts and is no policy's reward,
    for then only the order of actions counts (docs/live.md)."""
    alternatives: Positive = 15
    """Actions drawn to hold each against, where there are too many to look at all; as in reward.corrections."""
    policy: PolicySignalsConfig = Field(default_factory=PolicySignalsConfig)
    delay: DelayConfig = Field(default_factory=DelayConfig)
    across_episodes: bool = False
    """A signal may be about the episode before the one on show."""
    smallest_share: Share = 0.5
    """A signal counts only where this much of the delays falls on steps that were shown."""
    most_steps: Positive = 16
    """Steps of one signal that are looked at: where a stage shows more in a teacher's delays, some stand for all."""
    batch: Positive = 16
    """Signals per gradient step."""
    gradient_steps: Positive = 10
    """Gradient steps as signals and corrections come, at once; other feedback is learnt with
    reward.model.gradient_steps."""

    @property
    def settings(self) -> SignalSettings:
        """The numbers of a reading about the policy; those of advantage where it is the reward's."""
        return SignalSettings(
            reading="advantage" if self.reading == "reward" else self.reading,
            minibatch_size=self.batch,
            gradient_steps=self.gradient_steps,
            **self.policy.model_dump(exclude={"weight", "until_env_steps"}),
        )
