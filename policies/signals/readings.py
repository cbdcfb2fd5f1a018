"""What a version of the signals says to each reading: which steps count how much, and what is told of them.

Sources: `advantage`: MacGlashan et al. 2017, arXiv:1701.06049, section 4; `return`: Williams 1992, "Simple statistical
gradient-following algorithms for connectionist reinforcement learning", section 4 (reinforcement baseline), and Kool,
van Hoof and Welling 2019, "Buy 4 REINFORCE samples, get a baseline for free!", equation 8 (leave one out); `regret`:
Knox et al. 2022, arXiv:2206.02231, section 3, and Hejna et al. 2024, arXiv:2310.13639, section 3.
"""

from typing import assert_never

import numpy as np

from policies.experience import FloatArray
from policies.signals.settings import SignalSettings
from policies.signals.signal_batch import SignalBatch
from policies.signals.traces import traces

_SMALLEST_STD = 1e-3
"""Signals that are all alike tell nothing apart."""


def counted_credit(batch: SignalBatch, settings: SignalSettings) -> FloatArray:
    """Return what each step's log-probability counts in the loss of its signal, [S, L].

    The advantage of an action also speaks for the actions that led to it; a return is a sample of what follows the
    action that it is about; and regret is about what was done, whoever did it.
    """
    match settings.reading:
        case "advantage":
            decay = settings.trace_decay
            return traces(batch.credit_SL, decay=decay, acted_SL=batch.acted_SL, begin_SL=batch.begin_SL)
        case "return":
            return traces(batch.credit_SL, decay=0.0, acted_SL=batch.acted_SL)
        case "regret":
            return batch.credit_SL
        case _:
            assert_never(settings.reading)


def told_value(batch: SignalBatch, settings: SignalSettings) -> FloatArray:
    """Return the signals as the reading takes them, [S]: as advantages, less a baseline, or in standard deviations."""
    match settings.reading:
        case "advantage":
            return batch.value_S
        case "return":
            return less_baseline(batch.value_S)
        case "regret":
            return batch.value_S / max(float(batch.value_S.std()) if len(batch) else 0.0, _SMALLEST_STD)
        case _:
            assert_never(settings.reading)


def less_baseline(value_S: FloatArray) -> FloatArray:
    """Return each value less the mean of all others, [S]; 0 for one that is alone.

    A baseline that leaves the value itself out leaves the gradient's expectation as it is.
    """
    others = len(value_S) - 1
    if others < 1:
        return np.zeros_like(value_S)
    difference_S: FloatArray = value_S - (value_S.sum(dtype=np.float64) - value_S.astype(np.float64)) / others
    return difference_S.astype(value_S.dtype)
