"""One run as one typed tree; the files `deploy/runs/*.yaml` mirror it key for key.

The string under a field is its help, in the files' documentation and in `handrail train --help`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.learner_config import LearnerConfig, policy_complaint
from cluster.runs.live_config import ActingConfig, SimulatedTeachersConfig, StagesConfig
from cluster.runs.relabel_config import relabel_complaint
from cluster.runs.reward.config import RewardConfig, actions_complaint
from cluster.runs.reward.pretraining import pretraining_complaint
from cluster.runs.reward.questions import kinds_complaint
from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section
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
    least_update_seconds: NotNegativeReal = 0.0
    """An update takes at least so long: where people teach live, a policy that runs ahead of them learns little from
    them, and the stages need the machine, too."""
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
    """Ids of other runs of the same task on this service, or `task` for all that began before this one: their feedback
    is learnt from too (by the reward model in lockstep what there is as the run begins)."""


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
    stages: StagesConfig = Field(default_factory=StagesConfig)
    acting: ActingConfig = Field(default_factory=ActingConfig)
    imitation: ImitationConfig = Field(default_factory=ImitationConfig)
    stop: StopConfig = Field(default_factory=StopConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    goal: GoalConfig = Field(default_factory=GoalConfig)
    checkpoints: CheckpointsConfig = Field(default_factory=CheckpointsConfig)
    monitoring: MonitoringConfig = Field(default_factory=MonitoringConfig)

    @property
    def learns_reward(self) -> bool:
        """Whether a reward model is trained."""
        return self.reward.sources.learned != 0 or self.reward.augmentation.weight > 0

    @property
    def asks_questions(self) -> bool:
        """Whether teachers are asked to compare."""
        return self.learns_reward and self.reward.questions.budget > 0

    @property
    def heeds_signals(self) -> bool:
        """Whether signals are about the policy, which learns from them."""
        return self.reward.signals.reading != "reward"

    @property
    def learns_from_people(self) -> bool:
        """Whether people teach a reward, say what to do, or correct what they see on stages: a service is needed."""
        return (
            self.learns_reward
            or self.imitation.asks_people
            or (self.stages.are_open and (self.imitation.imitates or self.heeds_signals))
        )

    @property
    def batch_steps(self) -> int:
        """Environment steps of one update."""
        return max(self.rollouts.env_runners, 1) * self.rollouts.envs_per_runner * self.rollouts.steps

    @model_validator(mode="after")
    def _policy_can_be_learnt(self) -> Self:
        learns = not self.imitation.alone and self.acting.kind != "reward"
        if learns and self.learner.takes_minibatches and self.learner.minibatch_size > self.batch_steps:
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
        return self

    @model_validator(mode="after")
    def _experts_can_be_imitated(self) -> Self:
        imitation, sources = self.imitation, self.reward.sources
        if complaint := relabel_complaint(self) or kinds_complaint(self):
            raise ValueError(complaint)
        somebody = (
            imitation.expert or imitation.demonstrations or imitation.asks_people or self.stages.are_open
        )
        if imitation.alone and not somebody:
            raise ValueError(
                "imitation.alone: there is nobody to imitate; name a program with imitation.expert or what was "
                "done before with imitation.demonstrations, ask people with imitation.questions.budget, or let them "
                "correct and take over with stages.count"
            )
        if imitation.alone and (self.policy.recurrent or sources.learned or sources.environment):
            raise ValueError(
                "imitation.alone: the policy only imitates, which recurrent policies cannot, and reads no reward; "
                "set both reward.sources to 0 and leave policy.recurrent empty"
            )
        if imitation.weight and (self.policy.recurrent or self.learner.objective == "trpo"):
            raise ValueError(
                "imitation.weight: labels have no history for a recurrent policy to remember, and trpo takes no "
                "gradient steps for them to join; set imitation.weight to 0, or policy.recurrent to null and "
                "learner.objective to ppo_clip"
            )
        return self

    @model_validator(mode="after")
    def _signals_can_be_heeded(self) -> Self:
        if not self.heeds_signals:
            return self
        reading, alone = self.reward.signals.reading, not any(self.reward.sources.model_dump().values())
        if not self.stages.are_open:
            raise ValueError(
                f"reward.signals.reading: nobody can say what is meant by {reading}; give people something to "
                "watch with stages.count"
            )
        if self.imitation.alone or self.acting.kind != "policy":
            raise ValueError(
                f"reward.signals.reading: {reading} teaches a policy, but this run's imitates alone or does not act; "
                "set imitation.alone to false and acting.kind to policy, or the reading to reward"
            )
        if self.policy.recurrent or (self.learner.objective == "trpo" and not alone):
            raise ValueError(
                f"reward.signals.reading: {reading} knows no history for a recurrent policy to remember, and trpo "
                "takes no gradient steps for signals to join; set policy.recurrent to null and learner.objective "
                "to ppo_clip"
            )
        return self

    @model_validator(mode="after")
    def _people_can_teach(self) -> Self:
        live = self.teachers.live
        if self.stages.are_open and not self.learns_from_people:
            raise ValueError(
                "stages.count: nobody learns from who watches; set reward.sources.learned, imitation.weight or "
                "reward.signals.reading, or stages.count to 0"
            )
        if live.count and not (self.stages.count and live.judge):
            raise ValueError(
                "teachers.live.count: live teachers need stages to watch (stages.count) and an opinion "
                "(teachers.live.judge: module:Class)"
            )
        if self.acting.kind != "policy" and not self.learns_reward:
            raise ValueError(
                f"acting.kind: {self.acting.kind} acts by the reward model, but nobody teaches one; "
                "set reward.sources.learned, or acting.kind to policy"
            )
        reward = self.reward
        if complaint := actions_complaint(
            reward.model, reward.signals, reward.augmentation, acting=self.acting.kind
        ):
            raise ValueError(complaint)
        return self

    @model_validator(mode="after")
    def _reward_can_be_learnt(self) -> Self:
        reward, questions = self.reward, self.reward.questions
        nothing = reward.sources.learned == 0 and reward.sources.environment == 0
        if nothing and not (self.imitation.alone or self.heeds_signals):
            raise ValueError(
                "reward.sources: every weight is 0, so nothing would be learnt; "
                "set environment or learned to something else"
            )
        if complaint := pretraining_complaint(self):
            raise ValueError(complaint)
        if not self.learns_reward:
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
        if questions.clips and not self.stages.count:
            raise ValueError(
                "reward.questions.clips: only stages render clips; set stages.count to 1 or more"
            )
        if questions.clips and self.mode == "lockstep":
            raise ValueError(
                "reward.questions.clips: what stages play depends on the time that they have, so it is no function "
                "of the seed; set mode to overlapped, or reward.questions.clips to false"
            )
        if questions.clips and questions.segment_steps > self.stages.unwatched_steps:
            raise ValueError(
                f"stages.unwatched_steps is {self.stages.unwatched_steps}, less than one segment of "
                f"{questions.segment_steps} steps (reward.questions.segment_steps)"
            )
        return self
