"""The numbers of an update; `cluster.runs.learner_config` says what each is for."""

from dataclasses import dataclass, field
from typing import Literal

from policies.imitation.settings import LossName
from policies.signals.settings import SignalSettings

ObjectiveName = Literal["ppo_clip", "ppo_kl", "trpo", "a2c", "q_actor_critic", "reinforce"]
EncoderName = Literal["auto", "flat", "mlp", "cnn"]
PrecisionName = Literal["float32", "bfloat16"]
EstimatorName = Literal["gae", "n_step", "vtrace", "reward_to_go", "total_return"]
ValueTargetsName = Literal["pop_art", "none"]


FURTHEST = 10.0
"""What is normalised, observations and rewards, is clipped to this size."""
TINY = 1e-8
"""Added to a variance before anything is divided by its root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VTraceSettings:
    """Truncations of `policies.advantages.vtrace`."""

    rho_bar: float = 1.0
    c_bar: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveKLSettings:
    """The KL that PPO with an adaptive penalty aims at, in nats, and the penalty's coefficient at the start."""

    target: float = 0.01
    coefficient: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TRPOSettings:
    """The trust region, in nats, and how its step is found."""

    kl_bound: float = 0.01
    conjugate_gradient_steps: int = 10
    damping: float = 0.1
    line_search_steps: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpSettings:
    """How the critic is fitted to a reward that has changed, and the experience that is kept for it."""

    steps: int = 0
    batches: int = 4
    megabytes: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """Numbers of an update."""

    objective: ObjectiveName = "ppo_clip"
    advantages: EstimatorName | None = None
    baseline: bool = True
    discount: float
    gae_lambda: float
    n_step: int = 5
    normalise_advantages: bool = True
    normalise_rewards: bool = False
    clip: float
    value_clip: float | None = None
    epochs: int
    minibatch_size: int
    sequence_steps: int | None = None
    value_coefficient: float
    entropy_coefficient: float
    reference_coefficient: float = 0.0
    max_gradient_norm: float
    value_targets: ValueTargetsName = "pop_art"
    popart_rate: float = 0.2
    critic_warm_up: WarmUpSettings = field(default_factory=WarmUpSettings)
    imitation_loss: LossName = "likelihood"
    signals: SignalSettings = field(default_factory=SignalSettings)
    vtrace: VTraceSettings = field(default_factory=VTraceSettings)
    ppo_kl: AdaptiveKLSettings = field(default_factory=AdaptiveKLSettings)
    trpo: TRPOSettings = field(default_factory=TRPOSettings)

    @property
    def estimator(self) -> EstimatorName:
        """The estimator of advantages: the one that was chosen, or the one that the objective is known by."""
        return self.advantages or ("reward_to_go" if self.objective == "reinforce" else "gae")
