"""What RLlib's config builder lacks for people: what they are asked, what they say and do, and what becomes of it."""

from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.learns_from import LearnsFrom, Taught
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.runs.reward.config import AugmentationConfig, RewardSourcesConfig
from cluster.runs.reward.corrections import CorrectionsConfig
from cluster.runs.reward.guards import GuardsConfig
from cluster.runs.reward.intrinsic import IntrinsicConfig
from cluster.runs.reward.kinds import DemonstrationsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.pretraining import PretrainingConfig
from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.reliability import ReliabilityConfig
from cluster.runs.reward.signals import SignalsConfig


class PeopleConfig(LearnsFrom, AlgorithmConfig):  # type: ignore[misc]
    """RLlib's settings, and those of learning from people: by default nobody teaches anything."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class)
        self.reward_sources = RewardSourcesConfig(environment=1.0, learned=0.0)
        self.intrinsic = IntrinsicConfig()
        self.reward_model = RewardModelConfig()
        self.questions = QuestionsConfig()
        self.signals = SignalsConfig()
        self.augmentation = AugmentationConfig()
        self.corrections = CorrectionsConfig()
        self.guards = GuardsConfig()
        self.demonstrations = DemonstrationsConfig()
        self.pretraining = PretrainingConfig()
        self.reliability = ReliabilityConfig()
        self.stages = StagesConfig()
        self.acting = ActingConfig()
        self.imitation = ImitationConfig()
        self.feedback_link: FeedbackLink | FeedbackService | None = None

    def people(
        self,
        *,
        sources: RewardSourcesConfig | None = None,
        intrinsic: IntrinsicConfig | None = None,
        model: RewardModelConfig | None = None,
        questions: QuestionsConfig | None = None,
        signals: SignalsConfig | None = None,
        augmentation: AugmentationConfig | None = None,
        corrections: CorrectionsConfig | None = None,
        guards: GuardsConfig | None = None,
        demonstrations: DemonstrationsConfig | None = None,
        pretraining: PretrainingConfig | None = None,
        reliability: ReliabilityConfig | None = None,
        stages: StagesConfig | None = None,
        acting: ActingConfig | None = None,
        feedback: FeedbackLink | FeedbackService | None = None,
    ) -> Self:
        """Choose the reward sources, and how the learned one comes about.

        Args:
            sources: weights of the sum.
            intrinsic: the one that explores.
            model: of the learned one.
            questions: what people are asked.
            signals: how what they say live is read.
            augmentation: how the learned one weighs actions beside their values.
            corrections: how what they do instead is.
            guards: what is done when the learned one seems to be wrong.
            demonstrations: how what they show is.
            pretraining: what they said before.
            reliability: what an honest teacher is like.
            stages: what people watch live.
            acting: who acts.
            feedback: a run that is open, or a service on which each algorithm opens its own.
        """
        self.reward_sources = sources or self.reward_sources
        self.intrinsic = intrinsic or self.intrinsic
        self.reward_model = model or self.reward_model
        self.questions = questions or self.questions
        self.signals = signals or self.signals
        self.augmentation = augmentation or self.augmentation
        self.corrections = corrections or self.corrections
        self.guards = guards or self.guards
        self.demonstrations = demonstrations or self.demonstrations
        self.pretraining = pretraining or self.pretraining
        self.reliability = reliability or self.reliability
        self.stages = stages or self.stages
        self.acting = acting or self.acting
        self.feedback_link = feedback or self.feedback_link
        return self

    def experts(self, imitation: ImitationConfig) -> Self:
        """Choose how the policy learns from what experts do."""
        self.imitation = imitation
        return self

    @property
    def taught(self) -> Taught:
        """The settings that say what is learnt from."""
        return Taught(self.reward_sources, self.augmentation, self.signals, self.imitation, self.stages)
