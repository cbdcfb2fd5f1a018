"""Kinds of simulated teachers, by name: the six of B-Pref, and some that are worse.

Source: B-Pref (Lee et al. 2021, arXiv:2111.03026), section 3.1, and the numbers of its experiments.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

KindName = Literal["oracle", "stochastic", "mistake", "skip", "equal", "myopic", "alike", "adversary", "lazy"]

B_PREF: Sequence[KindName] = ("oracle", "stochastic", "mistake", "skip", "equal", "myopic")

KINDS: Mapping[KindName, Mapping[str, Any]] = {
    "oracle": {},
    "stochastic": {"rationality": 1.0},
    "mistake": {"mistake": 0.1},
    "skip": {"skip_share": 0.1},
    "equal": {"equal_share": 0.1},
    "myopic": {"discount": 0.9},
    "alike": {"alike_mistake": 0.5},
    "adversary": {"mistake": 1.0},
    "lazy": {"always_first": True, "answer_seconds": 0.05},
}
"""What each is like, by the settings of `hitl.teachers.simulated`; all else is as for the oracle."""
