"""The ensemble on many steps without gradients, on the CPU: in parts that stay in the cache, with NumPy's tanh.

Relabelling looks at whole batches. There torch's tanh takes longer than the matrix products of a small network, where
NumPy's takes a tenth of it, and what lies between the layers of a whole batch does not fit into a cache.

Axis suffixes: K member, P step, R step of a part, F input feature, H unit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_PART_BYTES = 2**18
"""Of a layer's outputs."""


def on_cpu(weights: Sequence[Tensor], biases: Sequence[Tensor], input_PF: Tensor) -> Tensor:
    """Return each member's output, [K, P], as `RewardEnsemble.forward` does but for rounding.

    Args:
        weights: of each layer, [K, inputs, outputs]; float32 on the CPU.
        biases: of each layer, [K, 1, outputs].
        input_PF: what the networks read, on one scale.
    """
    members, steps = len(weights[0]), len(input_PF)
    widest = max(weight.shape[2] for weight in weights)
    rows = max(1, min(steps, _PART_BYTES // (4 * widest)))
    rooms = [torch.empty(rows, weight.shape[2]) for weight in weights[:-1]]
    raw_KP = torch.empty(members, steps)
    for begin in range(0, steps, rows):
        part_RF = input_PF[begin : begin + rows]
        for member in range(members):
            hidden_RH = part_RF
            for weight, bias, room in zip(weights, biases, rooms, strict=False):
                hidden_RH = torch.addmm(bias[member], hidden_RH, weight[member], out=room[: len(part_RF)])
                np.tanh(hidden_RH.numpy(), out=hidden_RH.numpy())
            torch.addmv(
                biases[-1][member, 0],
                hidden_RH,
                weights[-1][member, :, 0],
                out=raw_KP[member, begin : begin + rows],
            )
    return raw_KP
