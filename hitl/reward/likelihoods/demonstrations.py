"""How likely demonstrations are, given the returns of what they show and of what the policy does by itself.

Axis suffixes: K member of the ensemble, B demonstrated segment, C segment to choose from.
"""

import torch
from torch import Tensor


def demonstration_log_likelihood(*, return_KBC: Tensor, rationality: Tensor | float) -> Tensor:
    """Log-probability of each demonstration: people show a segment in proportion to exp(rationality * return).

    What they could have shown is stood for by the policy's own segments.

    Sources: Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice", arXiv:2002.04833, table 1
    (demonstrations); Finn, Levine and Abbeel 2016, "Guided cost learning", arXiv:1603.00448, section 4.1 (samples of
    the policy stand for all trajectories), without weights of importance.

    Args:
        return_KBC: predicted return of each segment, in link units; the first is the one that was shown.
        rationality: above 0, [B] or one.

    Returns:
        [K, B], in nats. -log C is a blind guess.
    """
    rationality = torch.as_tensor(rationality, dtype=return_KBC.dtype, device=return_KBC.device)
    return torch.log_softmax(rationality[..., None] * return_KBC, -1)[..., 0]
