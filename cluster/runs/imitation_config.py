"""The part of a run file about learning from what experts do."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.runs.section import NotNegativeReal, Positive, PositiveReal, Section
from policies.imitation.schedules import BetaSchedule, ExponentialBeta, IndicatorBeta, LinearBeta
from policies.imitation.settings import CloningSettings, LossName


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


class ImitationConfig(Section):
    """Learning from what experts do: a program that is asked in the states that the policy visits (DAgger)."""

    alone: bool = False
    """The policy only imitates: there is no reward, and each round's labels are learnt to the end."""
    expert: str = ""
    """Who is asked: `module:Class` with `act(observation)`, a checkpoint's folder, or `sb3.PPO:model.zip`."""
    beta: BetaConfig = Field(default_factory=BetaConfig)
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
        if self.expert and not self.imitates:
            raise ValueError(
                "imitation.expert: nobody learns from it; set imitation.alone or imitation.weight"
            )
        return self
