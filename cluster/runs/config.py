"""One run as one typed tree; the files `deploy/runs/*.yaml` mirror it key for key.

The string under a field is its help, in the files' documentation and in `handrail train --help`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.learner_config import LearnerConfig, policy_complaint
from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share
from policies.settings import EncoderName


class EnvironmentConfig(Section):
    """The world to act in."""

    id: str = "CartPole-v1"
    """A registered gymnasium id, or `module:Class` of your own (see docs/environments.md)."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment's constructor."""
    fixed_horizon: Positive | None = None
    """Make every episode last exactly this many steps: after an early end the last observation is held with
    a true reward of 0. A run on a learned reward needs it for environments that can end early."""
    allow_variable_horizon: bool = False
    """Accept episodes of varying length on a learned reward, though their length can leak success."""
    vectorised: bool = False
    """Step all environments of an env runner at once by gymnasium's vector entry point, for ids that have one."""
    isolated: bool = False
    """Run each environment in a process of its own: they step at the same time, and one that hangs or dies is
    made anew."""
    step_timeout_seconds: PositiveReal = 60.0
    """How long a step or a reset of an isolated environment may take before it counts as hanging."""

    @model_validator(mode="after")
    def _one_way_to_step(self) -> Self:
        if self.isolated and self.vectorised:
            raise ValueError(
                "environment.isolated and environment.vectorised exclude each other: a vector is one program; "
                "leave one of them out"
            )
        return self


class RolloutsConfig(Section):
    """How experience is gathered."""

    env_runners: NotNegative = 1
    """Ray actors that step environments; 0 steps them inside the driver."""
    envs_per_runner: Positive = 32
    """Environments that each of them steps together."""
    steps: Positive = 128
    """Steps of each environment in one rollout."""
    timeout_seconds: PositiveReal = 60.0
    """How long a batch waits for a slow env runner before it closes without; in lockstep it always waits."""
    give_up_seconds: PositiveReal = 600.0
    """An env runner that has not handed over a rollout for so long hangs: it is ended and made anew."""


class PolicyConfig(Section):
    """The network that acts, and its critic: encoders of the observation, hidden layers, a head."""

    hidden: tuple[Positive, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Between the layers; convolutions have relu."""
    shared: bool = False
    """The critic stands on the policy's encoders and hidden layers; otherwise it has as many of its own."""
    recurrent: Positive | None = None
    """Units of a memory (GRU) between encoders and hidden layers, for what one observation does not show; the critic
    stands on it, too. Empty: none. See learner.sequence_steps."""
    initial_log_std: float = 0.0
    """Of Box actions: the logarithm of the standard deviation that a young policy draws them with. 0 tries much, -2
    stays near its means: for robots, which fall over from noise."""
    normalise_observations: bool = False
    """Bring the numbers of observations to mean 0 and variance 1, by statistics of all that was seen."""
    encoder: EncoderName = "auto"
    """What reads the observation. cnn: convolutions, for images. mlp: one layer. flat: nothing, but Discrete as
    one-hot. auto: cnn for a Box with three axes, mlp for other Boxes in a Dict, flat for all else."""
    encoders: dict[str, EncoderName] = Field(default_factory=dict)
    """The encoder of each key of a Dict that is to have another one."""
    vector_features: Positive = 64
    """Units of the encoder mlp."""
    image_features: Positive = 512
    """Units of the layer behind the convolutions of the encoder cnn."""
    filters: tuple[tuple[Positive, Positive, Positive], ...] = ()
    """Convolutions of the encoder cnn, each as channels, kernel and stride; empty: those of the Nature CNN, or
    smaller ones for images with a side below 36."""


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


class RewardConfig(Section):
    """Where the reward comes from."""

    sources: RewardSourcesConfig = Field(default_factory=RewardSourcesConfig)
    model: RewardModelConfig = Field(default_factory=RewardModelConfig)
    questions: QuestionsConfig = Field(default_factory=QuestionsConfig)


class FeedbackConfig(Section):
    """The feedback service that people talk to."""

    address: str | None = None
    """host:port of a running service; empty: the run starts its own on a free port of `host`."""
    token: str | None = None
    """Token of the role cluster for `address`; better given as the variable HANDRAIL_TOKEN."""
    host: str = "127.0.0.1"
    """Where the run's own service listens."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Its port; 0 takes a free one."""
    database: str | None = None
    """Its database, as an SQLAlchemy URL; empty: SQLite in the run's folder."""
    reads_from: tuple[str, ...] = ()
    """Ids of other runs of the same task on this service: the reward model learns from their feedback too (in
    lockstep from what there is as the run begins)."""


class SimulatedTeachersConfig(Section):
    """Teachers that are programs: they see the true reward and answer over gRPC as people do."""

    count: NotNegative = 0
    """Processes to start with the run."""
    rationality: NotNegativeReal | None = None
    """Beta: they choose the better segment with probability 1 / (1 + exp(-beta * difference)); empty: always."""
    mistake: Share = 0.0
    """Chance to press the wrong key."""
    tie_threshold: NotNegativeReal = 0.5
    """A difference in return of at most this is a tie."""
    skip: Share = 0.0
    """Chance to skip a question."""
    answer_seconds: NotNegativeReal = 0.0
    """Mean time to answer."""


class StopConfig(Section):
    """When the run is done."""

    env_steps: Positive = 500_000
    """Environment steps, over all env runners."""


class EvaluationConfig(Section):
    """How the final policy is judged; a number for people, never for the learner."""

    episodes: NotNegative = 20
    """Greedy episodes at the end."""


class GoalConfig(Section):
    """What the run must reach for exit code 0; an empty line asks for nothing."""

    true_return: float | None = None
    """Mean true return of the final evaluation, at least."""
    comparisons: NotNegative | None = None
    """Comparisons asked of teachers, at most; skips count."""
    wall_seconds: PositiveReal | None = None
    """From the command to the report, at most."""


class CheckpointsConfig(Section):
    """Whole checkpoints, from which a run goes on."""

    every_seconds: PositiveReal = 30.0
    """Time between two (overlapped mode)."""
    every_updates: Positive = 50
    """Updates between two (lockstep mode)."""
    keep: Positive = 2
    """How many of the newest are kept."""


class MonitoringConfig(Section):
    """What can be watched from outside."""

    host: str = "127.0.0.1"
    """Where /metrics is served."""
    driver_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the driver's /metrics; 0 takes a free one."""
    service_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the feedback service's /metrics; 0 takes a free one."""


class RunConfig(Section):
    """A whole run."""

    name: str = "run"
    """Goes into the run's id."""
    seed: NotNegative = 0
    """Everything random follows from it in lockstep mode."""
    mode: Literal["overlapped", "lockstep"] = "overlapped"
    """overlapped: sampling, teaching and learning go on at once, for speed. lockstep: one after the other, a
    function of the seed, and each round of questions waits for its answers; for tests and benchmarks."""
    runs_folder: Path = Path("runs")
    """Each run gets a folder of its own in here."""
    environment: EnvironmentConfig = Field(default_factory=EnvironmentConfig)
    rollouts: RolloutsConfig = Field(default_factory=RolloutsConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    learner: LearnerConfig = Field(default_factory=LearnerConfig)
    reward: RewardConfig = Field(default_factory=RewardConfig)
    feedback: FeedbackConfig = Field(default_factory=FeedbackConfig)
    teachers: SimulatedTeachersConfig = Field(default_factory=SimulatedTeachersConfig)
    stop: StopConfig = Field(default_factory=StopConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    goal: GoalConfig = Field(default_factory=GoalConfig)
    checkpoints: CheckpointsConfig = Field(default_factory=CheckpointsConfig)
    monitoring: MonitoringConfig = Field(default_factory=MonitoringConfig)

    @property
    def learns_from_people(self) -> bool:
        """Whether a reward model is trained, so that service, reward trainer and teachers are needed."""
        return self.reward.sources.learned != 0

    @property
    def batch_steps(self) -> int:
        """Environment steps of one update."""
        return max(self.rollouts.env_runners, 1) * self.rollouts.envs_per_runner * self.rollouts.steps

    @model_validator(mode="after")
    def _possible(self) -> Self:
        reward, questions = self.reward, self.reward.questions
        if reward.sources.learned == 0 and reward.sources.environment == 0:
            raise ValueError(
                "reward.sources: every weight is 0, so nothing would be learnt; "
                "set environment or learned to something else"
            )
        if self.learner.takes_minibatches and self.learner.minibatch_size > self.batch_steps:
            raise ValueError(
                f"learner.minibatch_size is {self.learner.minibatch_size}, but one update has only "
                f"{self.batch_steps} steps (env_runners x envs_per_runner x steps); lower it"
            )
        if complaint := policy_complaint(
            self.learner,
            shared=self.policy.shared,
            recurrent=self.policy.recurrent,
            steps=self.rollouts.steps,
        ):
            raise ValueError(complaint)
        if not self.learns_from_people:
            return self
        if questions.segment_steps > self.rollouts.steps:
            raise ValueError(
                f"reward.questions.segment_steps is {questions.segment_steps}, but a rollout has only "
                f"{self.rollouts.steps} steps (rollouts.steps) to cut segments from; "
                "shorten one or lengthen the other"
            )
        if questions.initial > questions.budget:
            raise ValueError(
                f"reward.questions.initial is {questions.initial}, more than the whole budget "
                f"of {questions.budget}"
            )
        return self
