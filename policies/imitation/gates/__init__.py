"""Who acts while labels are gathered, the policy or its expert: state machines, one of each environment."""

from policies.imitation.gates.beta_mixture import BetaMixture
from policies.imitation.gates.ensemble_dagger import EnsembleDAgger
from policies.imitation.gates.gate import Gate, Moment, SwitchingGate
from policies.imitation.gates.hg_dagger import HGDAgger
from policies.imitation.gates.lazy_dagger import LazyDAgger
from policies.imitation.gates.measures import discrepancy, doubt
from policies.imitation.gates.thrifty_dagger import ThriftyDAgger, ThriftyLimits

__all__ = [
    "BetaMixture",
    "EnsembleDAgger",
    "Gate",
    "HGDAgger",
    "LazyDAgger",
    "Moment",
    "SwitchingGate",
    "ThriftyDAgger",
    "ThriftyLimits",
    "discrepancy",
    "doubt",
]
