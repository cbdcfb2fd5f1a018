"""The ensemble that learns what people want, in a run file."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.runs.reward.kinds import KindWeights, TeachersConfig
from cluster.runs.section import NotNegativeReal, Positive, PositiveReal, Section
from hitl.reward.network.conservatism import Conservatism, ConservatismKind
from hitl.reward.settings import (
    FitSettings,
    ImageEncoder,
    InputSettings,
    Memory,
    Reads,
    TeacherSettings,
)


class ConservatismConfig(Section):
    """How the rewards of the ensemble's members become the one that a policy learns from (docs/guards.md)."""

    kind: ConservatismKind = "mean"
    """mean: of the members. deviation: their mean minus coefficient times their standard deviation. worst: the least of
    them."""
    coefficient: NotNegativeReal = 1.0
    """deviation: lambda."""


class RewardModelConfig(Section):
    """The ensemble that learns what people want."""

    members: Positive = 3
    """Networks in the ensemble; their disagreement is the uncertainty."""
    hidden: tuple[Positive, ...] = (64, 64)
    """Units of each hidden layer of each member; [] for a reward that is linear in what it reads."""
    reads: Reads = "state_action"
    """state: r(s). state_action: r(s, a). state_action_next: r(s, a, s'), with what truly followed. Only state_action
    tells actions apart: no other acts, or learns from what people would have done instead (docs/reward_models.md)."""
    memory: Memory = "none"
    """gru: the reward of a step depends on the steps of its segment before it, through a gated recurrent unit. It
    learns from what is said of whole segments, and does not act."""
    memory_units: Positive = 32
    """Units of that memory, of each member."""
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
    refresh_steps: Positive | None = None
    """So few where at most a tenth of what people have said is new. A version comes sooner then. Empty: every fit is a
    whole one."""
    early_stop: PositiveReal | None = None
    """A fit ends before that once 20 steps have lowered the training loss by less than this, in nats. Held-out answers
    have no say in it: they judge (docs/reward_models.md). Empty: all steps are taken."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is fitted. auto: on CUDA where there is one and the model reads images, else on the CPU, which is faster
    for small networks. Relabelling happens where the learner is."""
    batch_comparisons: Positive = 32
    """Comparisons per gradient step; and rankings, ratings, goals and windows of demonstrations."""
    lapse: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Chance that an answer is given at random, part of the likelihood."""
    heldout_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of segments whose comparisons judge the model and never train it."""
    kinds: KindWeights = Field(default_factory=KindWeights)
    teachers: TeachersConfig = Field(default_factory=TeachersConfig)

    conservatism: ConservatismConfig = Field(default_factory=ConservatismConfig)

    @property
    def members_as_one(self) -> Conservatism:
        """How the members' rewards become one."""
        return Conservatism(**self.conservatism.model_dump())

    @property
    def inputs(self) -> InputSettings:
        """What it reads of observations."""
        return InputSettings(**self.model_dump(include=set(InputSettings.__dataclass_fields__)))

    @property
    def teacher_settings(self) -> TeacherSettings:
        """How teachers are told from each other."""
        return TeacherSettings(**self.teachers.model_dump())

    @property
    def fit(self) -> FitSettings:
        """The numbers of a fit."""
        return FitSettings(**self.model_dump(include=set(FitSettings.__dataclass_fields__)))
