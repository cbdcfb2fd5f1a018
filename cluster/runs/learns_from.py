"""What a run learns from: one rule for run files and for RLlib's settings."""

from abc import abstractmethod
from typing import NamedTuple

from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import StagesConfig
from cluster.runs.reward.config import AugmentationConfig, RewardSourcesConfig
from cluster.runs.reward.signals import SignalsConfig


class Taught(NamedTuple):
    """The settings that say so."""

    sources: RewardSourcesConfig
    augmentation: AugmentationConfig
    signals: SignalsConfig
    imitation: ImitationConfig
    stages: StagesConfig


class LearnsFrom:
    """Says it of whoever has these settings."""

    @property
    @abstractmethod
    def taught(self) -> Taught:
        """The settings that say what is learnt from."""

    @property
    def learns_reward(self) -> bool:
        """Whether a reward model is trained."""
        return self.taught.sources.learned != 0 or self.taught.augmentation.weight > 0

    @property
    def heeds_signals(self) -> bool:
        """Whether signals are about the policy, which learns from them."""
        return self.taught.signals.reading != "reward"

    @property
    def heeds_alone(self) -> bool:
        """Whether the policy learns from nothing but signals about it."""
        return self.heeds_signals and not any(self.taught.sources.model_dump().values())

    @property
    def learns_from_people(self) -> bool:
        """Whether people teach a reward, say what to do, or correct what they see on stages: a service is needed."""
        imitation, stages = self.taught.imitation, self.taught.stages
        return (
            self.learns_reward
            or imitation.asks_people
            or (stages.are_open and (imitation.imitates or self.heeds_signals))
        )
