"""How likely people's answers are, given the reward: one pure function for each kind of feedback.

Axis suffixes: K member of the ensemble, P pair, S signal or state, C action to choose from.
"""

import math

import torch
from torch import Tensor


def comparison_log_likelihood(
    *, margin_KP: Tensor, choice_P: Tensor, log_tie: Tensor | float, lapse: float
) -> Tensor:
    """Log-probability of each answer to "which is better?": Bradley-Terry with ties and lapses.

    With probability `lapse` the answer is one of the three at random. Otherwise, with m the margin,
    P(first), P(second) and P(tie) are in proportion to exp(m / 2), exp(-m / 2) and the tie propensity, so that
    without ties P(first) is the logistic function of m.

    Sources: Christiano et al. 2017, arXiv:1706.03741, section 2.2.3 (summed rewards, lapse); Davidson 1970,
    "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments", equation 2.4.

    Args:
        margin_KP: predicted return of the first segment minus that of the second, in link units.
        choice_P: int64, 0 first, 1 second, 2 tie.
        log_tie: logarithm of the tie propensity; -inf for a teacher who never ties.
        lapse: in [0, 1).

    Returns:
        [K, P], in nats. log(1/3) is a blind guess.
    """
    tie_KP = torch.as_tensor(log_tie, dtype=margin_KP.dtype, device=margin_KP.device).expand_as(margin_KP)
    logits = torch.stack([margin_KP / 2, -margin_KP / 2, tie_KP], -1)
    log_share = torch.log_softmax(logits, -1)
    index = choice_P.expand(margin_KP.shape)[..., None]
    chosen_KP = log_share.gather(-1, index)[..., 0]
    if lapse == 0:
        return chosen_KP
    guess = torch.full_like(chosen_KP, math.log(lapse / 3))
    return torch.logaddexp(chosen_KP + math.log1p(-lapse), guess)


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


def correction_log_likelihood(*, reward_KSC: Tensor, rationality: Tensor | float) -> Tensor:
    """Log-probability of each correction: people choose an action in proportion to exp(rationality * reward).

    What is added to the rewards of all actions in a state changes nothing: a correction says what is better, and not
    how good the state is.

    Source: Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice: A unifying formalism for reward learning",
    arXiv:2002.04833, section 2; the choices are the actions, for one step.

    Args:
        reward_KSC: of each action to choose from; the first is the one that people chose.
        rationality: beta, above 0; the larger, the fewer mistakes.

    Returns:
        [K, S], in nats. -log C is a blind guess.
    """
    return torch.log_softmax(rationality * reward_KSC, -1)[..., 0]
