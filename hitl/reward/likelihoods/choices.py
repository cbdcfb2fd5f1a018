"""How likely it is that people choose something, given what it and everything else they could have chosen is worth.

Corrections choose an action in a state, demonstrations a segment.

Axis suffixes: K member of the ensemble, B choice, C what could be chosen.
"""

import torch
from torch import Tensor


def choice_log_likelihood(*, worth_KBC: Tensor, rationality: Tensor | float) -> Tensor:
    """Log-probability of each choice: people choose in proportion to exp(rationality * worth).

    What is added to the worth of all that could be chosen changes nothing. So a correction says what is better in a
    state, and not how good the state is. What people could have demonstrated is stood for by the policy's own segments.

    Sources: Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice: A unifying formalism for reward learning",
    arXiv:2002.04833, section 2 (corrections: the choices are the actions, for one step) and table 1 (demonstrations);
    Finn, Levine and Abbeel 2016, "Guided cost learning", arXiv:1603.00448, section 4.1 (samples of the policy stand for
    all trajectories), without weights of importance.

    Args:
        worth_KBC: reward or predicted return, in link units; the first is of what people chose.
        rationality: beta, above 0, [B] or one; the larger, the fewer mistakes.

    Returns:
        [K, B], in nats. -log C is a blind guess.
    """
    rationality = torch.as_tensor(rationality, dtype=worth_KBC.dtype, device=worth_KBC.device)
    return torch.log_softmax(rationality[..., None] * worth_KBC, -1)[..., 0]
