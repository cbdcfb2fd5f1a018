"""The reward's part of a run file: where it comes from, and what people are asked."""

from pydantic import Field

from cluster.runs.reward.corrections import CorrectionsConfig
from cluster.runs.reward.kinds import DemonstrationsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.signals import SignalsConfig
from cluster.runs.section import NotNegativeReal, Positive, Section


class RewardSourcesConfig(Section):
    """The reward of a step is the weighted sum of these; a weight of 0 switches a source off."""

    environment: float = 0.0
    """The environment's own reward. Where it is 0 the learner never receives it."""
    learned: float = 1.0
    """The reward model learnt from people."""


class AugmentationConfig(Section):
    """Value augmentation (TAMER+RL, Knox and Stone 2010, method 4): the reward model weighs what the policy does."""

    weight: NotNegativeReal = 0.0
    """Beta: of the reward model's opinion of an action beside its value; Discrete actions."""
    until_env_steps: Positive | None = None
    """Beta falls linearly to 0 over so many environment steps; empty: it stays."""


class RewardConfig(Section):
    """Where the reward comes from."""

    sources: RewardSourcesConfig = Field(default_factory=RewardSourcesConfig)
    model: RewardModelConfig = Field(default_factory=RewardModelConfig)
    questions: QuestionsConfig = Field(default_factory=QuestionsConfig)
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    signals: SignalsConfig = Field(default_factory=SignalsConfig)
    corrections: CorrectionsConfig = Field(default_factory=CorrectionsConfig)
    demonstrations: DemonstrationsConfig = Field(default_factory=DemonstrationsConfig)
