"""How much better an action was than expected, by one estimator a file; each is right at every edge of an episode.

The general form is Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
estimation", arXiv:1506.02438, section 2: a policy gradient weighs the score of an action by what came of it,
with or without a baseline. Axis suffixes: T step, N environment.
"""

from policies.advantages.augmentation import augmented
from policies.advantages.gae import gae
from policies.advantages.monte_carlo import reward_to_go, total_return
from policies.advantages.n_step import n_step
from policies.advantages.rows import Advantages, Rows, over_duration
from policies.advantages.scaling import share_of, standardise, to_unit_scale, weighted_mean
from policies.advantages.vtrace import vtrace

__all__ = [
    "Advantages",
    "Rows",
    "augmented",
    "gae",
    "n_step",
    "over_duration",
    "reward_to_go",
    "share_of",
    "standardise",
    "to_unit_scale",
    "total_return",
    "vtrace",
    "weighted_mean",
]
