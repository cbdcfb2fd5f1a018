"""How likely it is that people do something instead, given the reward of what could be done.

Axis suffixes: K member of the ensemble, S state, C action to choose from.
"""

import torch
from torch import Tensor


def correction_log_likelihood(*, reward_KSC: Tensor, rationality: Tensor | float) -> Tensor:
    """Log-probability of each correction: people choose an action in proportion to exp(rationality * reward).

    What is added to the rewards of all actions in a state changes nothing: a correction says what is better, and not
    how good the state is.

    Source: Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice: A unifying formalism for reward learning",
    arXiv:2002.04833, section 2; the choices are the actions, for one step.

    Args:
        reward_KSC: of each action to choose from; the first is the one that people chose.
        rationality: beta, above 0, [S] or one; the larger, the fewer mistakes.

    Returns:
        [K, S], in nats. -log C is a blind guess.
    """
    rationality = torch.as_tensor(rationality, dtype=reward_KSC.dtype, device=reward_KSC.device)
    return torch.log_softmax(rationality[..., None] * reward_KSC, -1)[..., 0]
