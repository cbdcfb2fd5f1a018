"""What a recurrent policy remembers: a gated recurrent unit over encoded observations.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", arXiv:1406.1078, section 2.3, with
the reset gate behind the matrix product, as in `torch.nn.GRUCell`. Axis suffixes: S sequence, L step of a sequence,
P any leading axes, O number of a flat observation, H unit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Context(NamedTuple):
    """What a recurrent policy needs beside sequences of observations."""

    memory_SH: Tensor
    """Before each sequence."""
    begin_SL: Tensor
    """Where an episode begins, so that nothing is remembered from before; bool."""


class Memory(nn.Module):
    """An encoder and a gated recurrent unit, with orthogonal weights and zero biases."""

    def __init__(self, encoder: Sequence[nn.Module], *, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.encoder = nn.Sequential(*encoder)
        self.cell = nn.GRUCell(inputs, units)
        for weight in (self.cell.weight_ih, self.cell.weight_hh):
            for gate in weight.chunk(3):
                nn.init.orthogonal_(gate)
        nn.init.zeros_(self.cell.bias_ih)
        nn.init.zeros_(self.cell.bias_hh)

    def forward(self, observation_SLO: Tensor, context: Context) -> Tensor:
        """Return what is remembered after each step, [S, L, H]."""
        inputs_SLG = self._inputs(observation_SLO)
        memory_SH, memories = context.memory_SH, []
        for inputs_SG, begin_S in zip(inputs_SLG.unbind(1), context.begin_SL.unbind(1), strict=True):
            memory_SH = self._next(inputs_SG, torch.where(begin_S[:, None], 0.0, memory_SH))
            memories.append(memory_SH)
        return torch.stack(memories, 1)

    def step(self, observation_PO: Tensor, memory_PH: Tensor) -> Tensor:
        """Return what is remembered after one step, [P, H]."""
        return self._next(self._inputs(observation_PO), memory_PH)

    def _inputs(self, observation_PO: Tensor) -> Tensor:
        return functional.linear(self.encoder(observation_PO), self.cell.weight_ih, self.cell.bias_ih)

    def _next(self, inputs_PG: Tensor, memory_PH: Tensor) -> Tensor:
        own_PG = functional.linear(memory_PH, self.cell.weight_hh, self.cell.bias_hh)
        reset, update, new = inputs_PG.chunk(3, -1)
        own_reset, own_update, own_new = own_PG.chunk(3, -1)
        keep = torch.sigmoid(update + own_update)
        candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
        return candidate + keep * (memory_PH - candidate)
