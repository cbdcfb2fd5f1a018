"""How likely signals are, given the reward of the steps that they are about.

Axis suffixes: K member of the ensemble, S signal.
"""

import math

import torch
from torch import Tensor


def signal_log_likelihood(
    *,
    credited_KS: Tensor,
    value_S: Tensor,
    scale: Tensor | float,
    offset: Tensor | float,
    noise: Tensor | float,
) -> Tensor:
    """Log-density of each signal's value: normal around a linear function of the reward that it is about.

    The mean is scale * credited + offset, where the credited reward of a signal is the mean over the steps that it may
    be about, each with its credit: least squares on credited features, with a noise of its own.

    Source: Knox and Stone 2009, "Interactively Shaping Agents via Human Reinforcement: The TAMER Framework",
    sections 3.2 and 3.3; the credit is `hitl.credit`.

    Args:
        credited_KS: reward of the steps that each signal is about, weighted by credit.
        value_S: of the signals, in [-1, 1].
        scale: signal per reward, above 0.
        offset: of the signals on a reward of 0.
        noise: standard deviation of the signals, above 0.

    Returns:
        [K, S], in nats.
    """
    noise = torch.as_tensor(noise, dtype=credited_KS.dtype, device=credited_KS.device)
    z_KS = (value_S - scale * credited_KS - offset) / noise
    return -0.5 * z_KS.square() - noise.log() - 0.5 * math.log(2 * math.pi)
