"""Eligibility traces: how much of a signal reaches each step, by the credit of that step and of those after it.

COACH gives a signal that comes at time t to the trace of time t - d, the delay d being fixed. Here the delay has a
density, so a signal goes to the traces of all times at which it may have been meant, each with its credit: the
expectation of the paper's update over the delay. With all credit on one step it is the paper's.

Sources: MacGlashan et al. 2017, "Interactive learning from policy-dependent human feedback", arXiv:1701.06049,
Algorithm 1; that a trace ends with its episode: Shah et al. 2021, arXiv:2109.07054, Algorithm 1.
"""

import numpy as np

from policies.experience import BoolArray, FloatArray


def traces(
    credit_SL: FloatArray, *, decay: float, acted_SL: BoolArray, begin_SL: BoolArray | None = None
) -> FloatArray:
    """Return what each step's score, the gradient of its log-probability, counts in a signal's update, [S, L].

    A trace reaches back neither over the beginning of an episode nor over steps that someone else took.

    Args:
        credit_SL: of each step for each signal; steps before those with credit belong to the row, with credit 0.
        decay: lambda, in [0, 1]; with 0 the result is the credit of the policy's steps.
        acted_SL: whether the policy chose the action.
        begin_SL: whether an episode begins with a step; None: no row has a step of a second one.
    """
    trace_SL = np.where(acted_SL, credit_SL, 0).astype(credit_SL.dtype)
    for step in range(trace_SL.shape[1] - 2, -1, -1):
        later_S = decay * trace_SL[:, step + 1]
        if begin_SL is not None:
            later_S = np.where(begin_SL[:, step + 1], 0, later_S)
        trace_SL[:, step] += np.where(acted_SL[:, step], later_S, 0)
    return trace_SL
