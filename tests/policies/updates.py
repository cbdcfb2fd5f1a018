"""An update of a network on the environment's reward, as the tests want it."""

from collections.abc import Mapping

import torch

from policies.descent.gradient_step import flatten_parameters
from policies.descent.ranks import ALONE, Ranks
from policies.networks import ActorCritic
from policies.objectives import Objective, make_objective
from policies.rewards import RewardSource, environment_reward
from policies.settings import UpdateSettings
from policies.update import Update


def make_update(
    network: ActorCritic,
    settings: UpdateSettings,
    *,
    sources: Mapping[str, RewardSource] | None = None,
    weights: Mapping[str, float] | None = None,
    ranks: Ranks = ALONE,
    objective: Objective | None = None,
) -> Update:
    flat = flatten_parameters(network)
    return Update(
        network=network,
        flat=flat,
        optimiser=torch.optim.Adam([flat], 0.01),
        objective=objective or make_objective(settings),
        sources=sources or {"environment": environment_reward},
        source_weights=weights or {"environment": 1.0},
        settings=settings,
        ranks=ranks,
    )


def steps_taken(update: Update) -> int:
    """Gradient steps by Adam so far."""
    (state,) = update._step._optimiser.state.values()
    return int(state["step"])
