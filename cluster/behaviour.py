"""What a rollout is asked to be gathered by."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Versions of what acts, and how much of it is left to whom."""

    policy_version: int
    reward_version: int = 0
    """Of the reward model that acts; 0 where none does."""
    reward_weight: float = 1.0
    """Beta, in a mixture."""
    expert_share: float = 0.0
    """DAgger's beta: the chance that the expert acts, where there is one."""
    asks_expert: bool = False
    """Whether the expert may be asked."""
