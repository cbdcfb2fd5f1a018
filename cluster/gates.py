"""Who decides when an expert acts: gates, and what they read, as the run file asks for them."""

import math
from typing import Any

import gymnasium as gym

from cluster.runs.imitation_config import ImitationConfig
from policies.acting.counsel import Counsel
from policies.imitation.gates import (
    BetaMixture,
    EnsembleDAgger,
    Gate,
    LazyDAgger,
    ThriftyDAgger,
    ThriftyLimits,
)

Spaces = tuple[gym.Space[Any], gym.Space[Any]]
"""Of the observations and the actions of one environment."""


def make_gate(imitation: ImitationConfig, *, seed: int, asks_always: bool) -> Gate:
    """Make the run's gate.

    Args:
        imitation: the run's settings.
        seed: of the draws, where chance decides.
        asks_always: whether the expert is a program, which says in each step what it would do; people do not, so
            EnsembleDAgger hands over to them by doubt alone.
    """
    settings = imitation.help
    if settings.gate == "ensemble":
        tau = settings.discrepancy if asks_always else math.inf
        return EnsembleDAgger(chi=settings.doubt, tau=tau, most_switches=settings.most_switches)
    if settings.gate == "lazy":
        return LazyDAgger(
            tau_sup=settings.discrepancy,
            tau_auto=settings.calm_discrepancy,
            most_switches=settings.most_switches,
        )
    if settings.gate == "thrifty":
        # Of the risk nothing is known yet, so that it neither calls the expert nor keeps them.
        limits = ThriftyLimits(
            novelty=settings.doubt,
            risk=math.inf,
            calm_discrepancy=settings.calm_discrepancy,
            calm_risk=math.inf,
        )
        return ThriftyDAgger(
            limits,
            target_share=settings.target_share,
            reads_risk=settings.goal != "none",
            most_switches=settings.most_switches,
        )
    return BetaMixture(0.0, seed=seed, drawn_each=imitation.beta.drawn_each)


def make_counsel(imitation: ImitationConfig, spaces: Spaces, model_config: dict[str, Any]) -> Counsel | None:
    """Make what reads the committee's weights; None where the run has none."""
    return Counsel(*spaces, **model_config) if imitation.help.gate != "never" else None
