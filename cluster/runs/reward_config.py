"""The reward's part of a run file: where it comes from, and what people are asked."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share
from hitl.reward.settings import FitSettings, ImageEncoder, InputSettings
from policies.signals.settings import SignalSettings


class RewardSourcesConfig(Section):
    """The reward of a step is the weighted sum of these; a weight of 0 switches a source off."""

    environment: float = 0.0
    """The environment's own reward. Where it is 0 the learner never receives it."""
    learned: float = 1.0
    """The reward model learnt from people."""


class RewardModelConfig(Section):
    """The ensemble that learns what people want."""

    members: Positive = 3
    """Networks in the ensemble; their disagreement is the uncertainty."""
    hidden: tuple[Positive, ...] = (64, 64)
    """Units of each hidden layer of each member; [] for a reward that is linear in what it reads."""
    features: str | None = None
    """module:function that maps flat observations [N, O] to features of each Discrete action [N, actions, F], which the
    model reads in the place of observation and action (docs/live.md)."""
    encoder: ImageEncoder = "auto"
    """What reads images. cnn: convolutions, of each member its own. flat: nothing, they are read as numbers. auto: cnn
    for a Box with three axes, as in policy.encoder."""
    image_features: Positive = 64
    """Units of the layer behind the convolutions; the action joins them there."""
    filters: tuple[tuple[Positive, Positive, Positive], ...] = ()
    """Convolutions, each as channels, kernel and stride; empty: as in policy.filters."""
    learning_rate: PositiveReal = 1e-3
    """AdamW's step size."""
    weight_decay: NotNegativeReal = 1e-2
    """AdamW's weight decay."""
    gradient_steps: Positive = 100
    """Gradient steps of each fit, warm-started from the last one."""
    batch_comparisons: Positive = 32
    """Comparisons per gradient step."""
    lapse: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Chance that an answer is given at random, part of the likelihood."""
    heldout_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of segments whose comparisons judge the model and never train it."""

    @property
    def inputs(self) -> InputSettings:
        """What it reads of observations."""
        return InputSettings(**self.model_dump(include=set(InputSettings.__dataclass_fields__)))

    @property
    def fit(self) -> FitSettings:
        """The numbers of a fit."""
        return FitSettings(**self.model_dump(include=set(FitSettings.__dataclass_fields__)))


class QuestionsConfig(Section):
    """What people are asked, how much and when."""

    strategy: Literal["disagreement", "random"] = "disagreement"
    """Ask where the ensemble disagrees most, or anywhere."""
    budget: NotNegative = 100
    """Comparisons to ask for in the whole run; skips count."""
    initial: NotNegative = 20
    """Asked at once from the first rollouts, before any policy learning."""
    initial_env_steps: Positive = 16_384
    """Environment steps of these first rollouts."""
    per_round: Positive = 5
    """Asked together after that."""
    round_env_steps: Positive = 20_000
    """Environment steps between rounds."""
    clips: bool = False
    """Ask about what stages play while nobody watches (stages.count), and show people a clip of it."""
    segment_steps: Positive = 25
    """Length of the segments compared."""
    candidates: Positive = 500
    """Pairs considered for each round."""
    fresh_batches: Positive = 4
    """They are cut from so many of the newest batches of rollouts."""
    max_open: Positive = 20
    """No new question while this many wait for a teacher (overlapped mode)."""
    expire_seconds: PositiveReal = 600.0
    """An open question is withdrawn after this time: by then the policy is another one."""


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


class AugmentationConfig(Section):
    """Value augmentation (TAMER+RL, Knox and Stone 2010, method 4): the reward model weighs what the policy does."""

    weight: NotNegativeReal = 0.0
    """Beta: of the reward model's opinion of an action beside its value; Discrete actions."""
    until_env_steps: Positive | None = None
    """Beta falls linearly to 0 over so many environment steps; empty: it stays."""


class CorrectionsConfig(Section):
    """How the reward model learns from what people do instead, by corrections and with the controls of a stage."""

    enabled: bool = True
    """What people do in a state is better than what else they could have done. false: it teaches the policy alone."""
    alternatives: Positive = 15
    """Other actions that each one is held against, drawn at random where there are too many to look at all: actions
    that are continuous, or of several axes with more than 256 combinations."""
    batch: Positive = 16
    """Corrected states per gradient step."""


class RewardConfig(Section):
    """Where the reward comes from."""

    sources: RewardSourcesConfig = Field(default_factory=RewardSourcesConfig)
    model: RewardModelConfig = Field(default_factory=RewardModelConfig)
    questions: QuestionsConfig = Field(default_factory=QuestionsConfig)
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    signals: SignalsConfig = Field(default_factory=SignalsConfig)
    corrections: CorrectionsConfig = Field(default_factory=CorrectionsConfig)
