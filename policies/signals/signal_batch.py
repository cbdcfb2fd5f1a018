"""Signals and the steps that each may be about, as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.experience import BoolArray, FloatArray, IntArray, ObservationArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalBatch:
    """One version of the signals that count, oldest first; its arrays are read-only.

    A row's steps follow each other without a gap and end with the last one of which its teacher can have spoken; what
    is left of the row behind them is nobody's step, of credit 0.
    """

    version: int
    observation_SLO: ObservationArray
    """Flat, as `policies.spaces` lays them."""
    action_SLA: NDArray[Any]
    """int64[S, L] (Discrete), int64[S, L, A] (MultiDiscrete) or float32[S, L, A] (Box)."""
    credit_SL: FloatArray
    """Probability that the signal is about this step; a row adds up to at most 1."""
    acted_SL: BoolArray
    """The policy chose the action; False where a teacher, an expert or nobody did."""
    begin_SL: BoolArray
    """An episode begins with this step."""
    policy_version_SL: IntArray
    """Of the policy that was there at this step; -1 behind the last one."""
    value_S: FloatArray
    """What was said, in [-1, 1]."""
    number_S: IntArray
    """In the order in which they came; numbers only grow."""

    def __len__(self) -> int:
        return len(self.value_S)

    @property
    def newest_version_S(self) -> IntArray:
        """The newest policy version that a signal may be about; -1 where the policy took none of its steps."""
        of_policy_SL = self.acted_SL & (self.credit_SL > 0)
        newest_S: IntArray = np.where(of_policy_SL, self.policy_version_SL, -1).max(1, initial=-1)
        return newest_S
