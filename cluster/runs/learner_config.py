"""The learner's part of a run file: what is maximised, and how."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share
from policies.settings import EstimatorName, ObjectiveName, PrecisionName, ValueTargetsName


class VTraceConfig(Section):
    """V-trace (Espeholt et al. 2018, arXiv:1802.01561), for learner.advantages: vtrace."""

    rho_bar: PositiveReal = 1.0
    """Importance weights of temporal differences are at most this."""
    c_bar: PositiveReal = 1.0
    """Importance weights of traces are at most this; at most rho_bar."""


class AdaptiveKLConfig(Section):
    """PPO's adaptive KL penalty (Schulman et al. 2017, section 4), for learner.objective: ppo_kl."""

    target: PositiveReal = 0.01
    """KL of one update that it aims at, in nats."""
    coefficient: PositiveReal = 1.0
    """Of the penalty at the start; halved below two thirds of the target, doubled above one and a half."""


class TRPOConfig(Section):
    """The trust region (Schulman et al. 2015, arXiv:1502.05477), for learner.objective: trpo."""

    kl_bound: PositiveReal = 0.01
    """No update moves the policy further, in nats."""
    conjugate_gradient_steps: Positive = 10
    """Steps of the search for a direction."""
    damping: NotNegativeReal = 0.1
    """Added to the Fisher matrix's diagonal."""
    line_search_steps: Positive = 10
    """How often the step is halved before the policy stays where it is."""


class ReferenceConfig(Section):
    """A frozen policy that the policy is kept near, whatever the objective."""

    coefficient: NotNegativeReal = 0.0
    """Weight of KL(policy || reference), in nats; 0: there is no reference."""
    checkpoint: Path | None = None
    """A checkpoint whose policy is the reference; empty: the policy as the run begins."""


class CriticWarmUpConfig(Section):
    """How the critic follows a reward that has changed, before the policy is updated with it; see
    docs/reward_change.md."""

    steps: NotNegative = 0
    """Gradient steps of the critic alone for each new reward version; 0: none."""
    batches: Positive = 4
    """Newest batches of rollouts that it is fitted to, with the rewards of the new version."""
    megabytes: Positive = 256
    """Of memory that these may take; a batch that is larger alone is not kept."""


class ObjectiveConfig(Section):
    """What the policy maximises; see docs/objectives.md."""

    objective: ObjectiveName = "ppo_clip"
    """The policy's loss. ppo_clip, ppo_kl: epochs of minibatches. trpo: one bounded step, then epochs for the
    critic. a2c, q_actor_critic, reinforce: one step on the whole batch."""
    advantages: EstimatorName | None = None
    """What came of an action, as estimated; empty: reward_to_go for reinforce, gae for the others."""
    baseline: bool = True
    """reinforce: subtract the critic's value from the return."""
    normalise_advantages: bool = True
    """Scale them to 1 over the batch; their mean goes to 0 only where a baseline is subtracted."""
    normalise_rewards: bool = False
    """Divide rewards by the standard deviation of the discounted returns so far; their mean stays."""
    n_step: Positive = 5
    """Rows of rewards before the critic's word, for advantages: n_step."""
    sequence_steps: Positive | None = None
    """Steps of the sequences that a recurrent policy learns from (policy.recurrent), by backpropagation through them;
    divides rollouts.steps. Empty: whole rollouts. Minibatches are made of whole sequences."""
    value_clip: PositiveReal | None = None
    """How far the critic may leave what it said before the update, in standard deviations of its targets;
    empty: as far as it likes."""
    value_targets: ValueTargetsName = "pop_art"
    """What the critic's targets are divided by. pop_art: by their running standard deviation, less their mean, with
    outputs preserved. none: by nothing."""
    critic_warm_up: CriticWarmUpConfig = Field(default_factory=CriticWarmUpConfig)
    vtrace: VTraceConfig = Field(default_factory=VTraceConfig)
    ppo_kl: AdaptiveKLConfig = Field(default_factory=AdaptiveKLConfig)
    trpo: TRPOConfig = Field(default_factory=TRPOConfig)
    reference: ReferenceConfig = Field(default_factory=ReferenceConfig)

    @property
    def takes_minibatches(self) -> bool:
        """Whether epochs and minibatch_size mean anything."""
        return self.objective in ("ppo_clip", "ppo_kl", "trpo")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.objective == "reinforce" and self.advantages in ("gae", "n_step", "vtrace"):
            raise ValueError(
                f"learner.advantages is {self.advantages}, which trusts the critic within an episode, but "
                "reinforce weighs by whole returns: set reward_to_go or total_return, or objective to a2c"
            )
        if not self.baseline and self.objective != "reinforce":
            raise ValueError(
                f"learner.baseline is false, but {self.objective} has no choice of it; "
                "set objective to reinforce, or to q_actor_critic for an actor-critic without a baseline"
            )
        if self.vtrace.c_bar > self.vtrace.rho_bar:
            raise ValueError(
                f"learner.vtrace.c_bar is {self.vtrace.c_bar}, above rho_bar ({self.vtrace.rho_bar}); V-trace is "
                "known to converge only where it is at most that; lower it"
            )
        return self


def policy_complaint(
    learner: ObjectiveConfig, *, shared: bool, recurrent: int | None, steps: int
) -> str | None:
    """Return why the learner cannot train such a policy, and what to do; None if it can.

    Args:
        learner: how it learns.
        shared: the critic stands on the policy's layers.
        recurrent: units of the memory that both stand on.
        steps: of one rollout.
    """
    if learner.objective == "trpo" and (shared or recurrent):
        key, value = ("policy.recurrent", "null") if recurrent else ("policy.shared", "false")
        return (
            f"learner.objective is trpo, but the critic has layers in common with the policy ({key}), and its steps "
            f"would move the policy out of its bound; set {key} to {value}, or objective to ppo_kl"
        )
    if recurrent and learner.reference.coefficient:
        return (
            "learner.reference.coefficient is not 0, but what a recurrent policy (policy.recurrent) remembers is no "
            "memory for another one; set the coefficient to 0, or policy.recurrent to null"
        )
    if recurrent and steps % (learner.sequence_steps or steps):
        return (
            f"learner.sequence_steps is {learner.sequence_steps}, which does not divide the {steps} steps of a "
            "rollout (rollouts.steps); change one of them"
        )
    return None


class LearnerConfig(ObjectiveConfig):
    """How the policy learns."""

    learning_rate: PositiveReal = 3e-4
    """Adam's step size at the start."""
    anneal_learning_rate: bool = True
    """Lower it linearly to 0 at stop.env_steps."""
    discount: Share = 0.99
    """Gamma, per step."""
    gae_lambda: Share = 0.95
    """Lambda of gae and vtrace: 0 trusts the critic, 1 the returns."""
    clip: PositiveReal = 0.2
    """How far the probability ratio may leave 1, for ppo_clip; clip_share counts by it for all."""
    epochs: Positive = 4
    """Passes over each batch, where the objective takes minibatches."""
    minibatch_size: Positive = 256
    """Steps per gradient step, at most."""
    value_coefficient: NotNegativeReal = 0.5
    """Weight of the critic's loss."""
    entropy_coefficient: NotNegativeReal = 0.0
    """Weight of the entropy bonus."""
    max_gradient_norm: PositiveReal = 0.5
    """Gradients longer than this are shortened to it."""
    learners: NotNegative = 0
    """Ray actors that make each update together, each with a share of every minibatch; 0: one, in the driver."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one, and where it was measured to be faster for this network. In lockstep, where no
    clock decides, and with a memory nothing is measured: convolutions learn on CUDA, other networks on the CPU."""
    precision: Literal["auto"] | PrecisionName = "auto"
    """Of the encoder cnn while it learns; env runners act in float32, and parameters stay so. auto: bfloat16 on CUDA
    where it was measured to be faster, float32 elsewhere and in lockstep."""
