"""A policy and a reward model on their way to programs that act by them outside of the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hitl.reward.settings import InputSettings
from hitl.tensors import Array

ActingKind = Literal["policy", "reward", "action_biasing", "control_sharing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingSettings:
    """Who acts; `cluster.runs.live_config` says what each setting is for."""

    kind: ActingKind = "policy"
    temperature: float = 0.3
    candidates: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPolicy:
    """One version of the policy, and who acts."""

    version: int
    weights: Mapping[str, Array]
    """What acting needs of the network, by name."""
    network: Mapping[str, Any]
    """Settings of the network beside its spaces: keyword arguments of `policies.acting.inference.acting_policy`."""
    acting: ActingSettings = field(default_factory=ActingSettings)
    """The same in all versions."""
    inputs: InputSettings | None = None
    """What the run's reward model reads, the same in all versions; None: it has none."""
    reward_weight: float = 1.0
    """Beta: how much the reward model counts in a mixture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedReward:
    """One version of the reward model."""

    version: int
    arrays: Mapping[str, Array]
    """See `hitl.reward.network.ensemble.RewardEnsemble.to_arrays`."""
    journal_end: int = 0
    """The feedback before this offset of the run's journal is in it."""
