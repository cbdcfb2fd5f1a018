"""The reward's part of a run file: where it comes from, and what people are asked."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share


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
    """Units of each hidden layer of each member."""
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

    density: Literal["gamma", "uniform"] = "gamma"
    """gamma: as people react (Knox and Stone 2009). uniform: every delay between two is as likely."""
    shortest_seconds: NotNegativeReal = 0.2
    """Nobody is faster."""
    longest_seconds: PositiveReal = 0.8
    """uniform: nobody is slower. TAMER has 0.8; Deep TAMER 4, from 0.28."""
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


class SignalsConfig(Section):
    """How the reward model learns from live signals (plus and minus on a stage)."""

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
    """Gradient steps as signals come, at once; other feedback is learnt with reward.model.gradient_steps."""


class RewardConfig(Section):
    """Where the reward comes from."""

    sources: RewardSourcesConfig = Field(default_factory=RewardSourcesConfig)
    model: RewardModelConfig = Field(default_factory=RewardModelConfig)
    questions: QuestionsConfig = Field(default_factory=QuestionsConfig)
    signals: SignalsConfig = Field(default_factory=SignalsConfig)
