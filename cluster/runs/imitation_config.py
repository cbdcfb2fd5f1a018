"""The part of a run file about learning from what experts do."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.relabel_config import RelabelQuestionsConfig
from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section
from policies.imitation.schedules import BetaSchedule, ExponentialBeta, IndicatorBeta, LinearBeta
from policies.imitation.settings import CloningSettings, LossName, SuccessSettings

Goal = Literal["none", "terminated", "is_success"]
"""How a step says that it has led into the task's goal."""


class BetaConfig(Section):
    """How much the expert acts itself in each round of DAgger (Ross et al. 2011, arXiv:1011.0686)."""

    schedule: Literal["indicator", "linear", "exponential", "always", "never"] = "indicator"
    """indicator: all of round 1, then nothing. linear: less each round. exponential: base to the power of the rounds
    before. always: all steps of all rounds, which is behaviour cloning. never: nothing, so that imitation.asked_share
    holds from the first round on."""
    rounds: Positive = 10
    """linear: after so many rounds the expert acts no more."""
    base: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """exponential: what beta is multiplied by each round."""
    drawn_each: Literal["step", "episode"] = "step"
    """What one draw decides on."""

    def __call__(self, round_number: int) -> float:
        """Return beta in a round; rounds count from 1."""
        if self.schedule in ("always", "never"):
            return float(self.schedule == "always")
        schedules: dict[str, BetaSchedule] = {
            "indicator": IndicatorBeta(),
            "linear": LinearBeta(self.rounds),
            "exponential": ExponentialBeta(self.base),
        }
        return schedules[self.schedule](round_number)


class SuccessConfig(Section):
    """The critics that say how likely the policy is to reach the goal (`imitation.help.goal`)."""

    critics: Positive = 2
    """How many; the one that expects the least success counts."""
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """What a success counts for a step earlier. Closer to 1 only failing is a risk, and not also being late; but what
    goes on for ever is seen as a failure more slowly."""
    learning_rate: PositiveReal = 1e-3
    """Adam's step size."""
    minibatch_size: Positive = 128
    """Steps in a gradient step."""
    gradient_steps: Positive = 200
    """Each round."""
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.02
    """How far the critics that say what follows a step move towards the newest ones with each gradient step."""
    most_steps: Positive = 50_000
    """Of env runners that are learnt from, the newest ones; checkpoints keep them."""

    @property
    def settings(self) -> SuccessSettings:
        """The numbers of a fit."""
        return SuccessSettings(**self.model_dump())


class HelpConfig(Section):
    """When the policy asks for help itself: the expert, or on stages the people who watch, take over then."""

    gate: Literal["never", "ensemble", "lazy", "thrifty"] = "never"
    """never: chance decides (`beta`), and people at stages. ensemble: doubt or distance (EnsembleDAgger). lazy: an
    expected distance, until the true one is small (LazyDAgger). thrifty: the most doubtful states and, where `goal`
    says what success is, the most risky ones, within a share of all (ThriftyDAgger)."""
    members: Annotated[int, Field(ge=2)] = 5
    """Of the committee whose disagreement is the doubt; each is fitted to a sample of the labels of its own."""
    most_switches: NotNegative | None = 10
    """To the expert in an episode, after which the policy goes on alone; empty: no bound."""
    doubt: NotNegativeReal = 0.1
    """ensemble: above it the expert takes over; thrifty: the same until there are steps to choose a limit from. From 0
    to 1 for choices, a variance for Box."""
    discrepancy: PositiveReal = 0.5
    """ensemble: a distance between policy and expert above it hands over. lazy: an expected one."""
    calm_discrepancy: PositiveReal = 0.1
    """lazy, thrifty: the expert gives back when the distance is below it."""
    target_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """thrifty: of the policy's steps that call for help, by doubt; by risk as many again."""
    goal: Goal = "none"
    """thrifty: what the task's goal is, so that help is also called where the policy risks to miss it. none: doubt
    alone. terminated: the environment's own end of an episode; so not where episodes also end in failure. is_success: a
    step that says so in its info, under the key is_success; an end elsewhere is a failure. Nothing of the environment's
    reward is in it."""
    success: SuccessConfig = Field(default_factory=SuccessConfig)
    wait_seconds: NotNegativeReal = 5.0
    """That a stage stands still for somebody to take the controls, before the policy goes on alone."""

    @model_validator(mode="after")
    def _a_band(self) -> Self:
        if self.gate == "lazy" and self.calm_discrepancy >= self.discrepancy:
            raise ValueError(
                "imitation.help.calm_discrepancy: lazy needs it below imitation.help.discrepancy"
            )
        if self.goal != "none" and self.gate != "thrifty":
            raise ValueError(
                f"imitation.help.goal: only thrifty calls for help by risk, and imitation.help.gate is {self.gate}; "
                "set the gate to thrifty, or the goal to none"
            )
        return self


class ImitationConfig(Section):
    """Learning from what experts do: a program that is asked in the states that the policy visits (DAgger)."""

    alone: bool = False
    """The policy only imitates: there is no reward, and each round's labels are learnt to the end."""
    expert: str = ""
    """Who is asked: `module:Class` with `act(observation)`, a checkpoint's folder, or `sb3.PPO:model.zip`."""
    demonstrations: tuple[str, ...] = ()
    """What was done before: Minari datasets, each as a folder or as `minari:ID`, and folders of earlier runs, for what
    people corrected and did with the controls in them. Alone without anybody else it is behaviour cloning."""
    beta: BetaConfig = Field(default_factory=BetaConfig)
    help: HelpConfig = Field(default_factory=HelpConfig)
    questions: RelabelQuestionsConfig = Field(default_factory=RelabelQuestionsConfig)
    asked_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the policy's steps in which the expert is asked, by chance: neighbouring states teach much the same.
    What the expert does itself is a label in any case."""
    budget: Positive | None = None
    """Labels that the expert gives in the whole run, roughly; empty: no limit."""
    weight: NotNegativeReal = 0.0
    """Of the imitation loss beside the policy's objective, where imitation is not alone."""
    until_env_steps: Positive | None = None
    """This weight falls linearly to 0 over so many environment steps; empty: it stays."""
    heldout_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of episodes whose labels judge the policy and never train it."""
    most_labels: Positive | None = None
    """That are learnt from; the oldest go first. Empty: all."""
    loss: LossName = "likelihood"
    """likelihood: of the expert's actions. squared_error: of the mean action, for Box."""
    learning_rate: PositiveReal = 1e-3
    """Adam's step size, where imitation is alone."""
    minibatch_size: Positive = 64
    """Labels per gradient step."""
    epochs: Positive = 50
    """At most so many passes over all labels each round."""
    patience: Positive = 5
    """Passes without a better loss on held-out labels, after which a round ends."""

    @property
    def imitates(self) -> bool:
        """Whether the policy learns from labels at all."""
        return self.alone or self.weight > 0

    @property
    def asks_people(self) -> bool:
        """Whether people are asked what should be done in states that the policy visits."""
        return self.questions.budget > 0

    @property
    def has_committee(self) -> bool:
        """Whether policies beside the policy are fitted, whose disagreement is its doubt."""
        return self.help.gate != "never" or (self.asks_people and self.questions.strategy == "doubt")

    @property
    def cloning(self) -> CloningSettings:
        """The numbers of a fit."""
        return CloningSettings(
            loss=self.loss,
            learning_rate=self.learning_rate,
            minibatch_size=self.minibatch_size,
            epochs=self.epochs,
            patience=self.patience,
        )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        for key, given in (
            ("expert", self.expert),
            ("demonstrations", self.demonstrations),
            ("questions.budget", self.asks_people),
        ):
            if given and not self.imitates:
                raise ValueError(
                    f"imitation.{key}: nobody learns from it; set imitation.alone or imitation.weight"
                )
        if self.asks_people and self.questions.strategy == "doubt" and not self.alone:
            raise ValueError(
                "imitation.questions.strategy: only a policy that imitates alone knows its doubt; set imitation.alone, "
                "or the strategy to random"
            )
        if self.help.gate == "ensemble" and self.asked_share < 1:
            raise ValueError(
                "imitation.asked_share: ensemble needs to know in each step what the expert would do; set it to 1, "
                "or imitation.help.gate to lazy or thrifty"
            )
        if self.help.gate != "never" and not self.alone:
            raise ValueError(
                "imitation.help.gate: only a policy that imitates alone knows its doubt; set imitation.alone, "
                "or the gate to never"
            )
        return self
