"""The reward's part of a run file: where it comes from, and what people are asked."""

from pydantic import Field

from cluster.runs.reward.corrections import CorrectionsConfig
from cluster.runs.reward.guards import GuardsConfig
from cluster.runs.reward.kinds import DemonstrationsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.pretraining import PretrainingConfig
from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.reliability import ReliabilityConfig
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


def actions_complaint(
    model: RewardModelConfig, signals: SignalsConfig, augmentation: AugmentationConfig, *, acting: str
) -> str | None:
    """Return what of a run needs the reward of any action in a state, where the reward model does not know it."""
    wants = {
        f"acting.kind: {acting}": acting != "policy",
        "reward.augmentation": augmentation.weight > 0,
        "reward.signals.baseline: alternatives": signals.baseline == "alternatives",
    }
    wanting = [name for name, is_wanted in wants.items() if is_wanted]
    if model.inputs.tells_actions_apart or not wanting:
        return None
    return (
        f"{wanting[0]} asks what each action is worth in a state, which a reward model does not know with "
        f"reads: {model.reads} and memory: {model.memory}; set reward.model.reads to state_action and "
        "reward.model.memory to none, or leave that out"
    )


class RewardConfig(Section):
    """Where the reward comes from."""

    sources: RewardSourcesConfig = Field(default_factory=RewardSourcesConfig)
    model: RewardModelConfig = Field(default_factory=RewardModelConfig)
    questions: QuestionsConfig = Field(default_factory=QuestionsConfig)
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    signals: SignalsConfig = Field(default_factory=SignalsConfig)
    corrections: CorrectionsConfig = Field(default_factory=CorrectionsConfig)
    guards: GuardsConfig = Field(default_factory=GuardsConfig)
    demonstrations: DemonstrationsConfig = Field(default_factory=DemonstrationsConfig)
    pretraining: PretrainingConfig = Field(default_factory=PretrainingConfig)
    reliability: ReliabilityConfig = Field(default_factory=ReliabilityConfig)
