"""What the policy maximises, by one family a file; `OBJECTIVES` is the table that a run file chooses from.

Losses are pure functions of tensors; a class beside each is its place in an update. Axis suffix: B step of a
minibatch.
"""

from collections.abc import Callable, Mapping

from policies.networks import ActorCritic
from policies.objectives.objective import Objective
from policies.objectives.penalties import Penalties
from policies.objectives.policy_gradient import AdvantageActorCritic, QActorCritic, Reinforce
from policies.objectives.ppo_clip import PPOClip
from policies.objectives.ppo_kl import PPOAdaptiveKL
from policies.objectives.trpo import TRPO
from policies.settings import ObjectiveName, UpdateSettings

__all__ = ["OBJECTIVES", "Objective", "make_objective"]

OBJECTIVES: Mapping[ObjectiveName, Callable[[UpdateSettings, Penalties], Objective]] = {
    "ppo_clip": PPOClip,
    "ppo_kl": PPOAdaptiveKL,
    "trpo": TRPO,
    "a2c": AdvantageActorCritic,
    "q_actor_critic": QActorCritic,
    "reinforce": Reinforce,
}


def make_objective(settings: UpdateSettings, reference: ActorCritic | None = None) -> Objective:
    """Make the objective that the settings name.

    Args:
        settings: numbers of the update.
        reference: the frozen policy to stay near; needed where `reference_coefficient` is not 0.

    Raises:
        ValueError: it is needed and missing.
    """
    return OBJECTIVES[settings.objective](settings, Penalties(settings, reference))
