"""What the members of a recurrent reward model remember of a segment: a gated recurrent unit each.

What people judge a segment by need not be a sum over single steps: that something was done twice, or after another. A
reward of the steps so far can say so, where one of the step alone cannot.

Sources: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", arXiv:1406.1078, section 2.3,
with the reset gate behind the matrix product, as in `torch.nn.GRU`; Early et al. 2022, "Non-Markovian Reward Modelling
from Trajectory Labels via Interpretable Multiple Instance Learning", arXiv:2205.15367, section 3 (hidden state of a
recurrent reward model).

Axis suffixes: K member, S sequence, L step of a sequence, F input feature, H unit, G units of all three gates.
"""

import math

import torch
from torch import Tensor, nn


class Memories(nn.Module):
    """K gated recurrent units with different starts; each remembers nothing before the first step."""

    def __init__(self, *, inputs: int, units: int, members: int) -> None:
        super().__init__()
        self.units = units
        self.of_inputs = nn.Parameter(torch.randn(members, inputs, 3 * units) / math.sqrt(inputs))
        self.of_memory = nn.Parameter(torch.randn(members, units, 3 * units) / math.sqrt(units))
        self.inputs_bias = nn.Parameter(torch.zeros(members, 1, 3 * units))
        self.memory_bias = nn.Parameter(torch.zeros(members, 1, 3 * units))

    def forward(self, input_SLF: Tensor, begins_SL: Tensor | None = None) -> Tensor:
        """Return what each member remembers after each step, [K, S, L, H].

        Args:
            input_SLF: what the model reads.
            begins_SL: bool, where nothing is remembered from before; None: at the first steps alone.
        """
        members, sequences, steps = len(self.of_inputs), *input_SLF.shape[:2]
        flat_KPF = input_SLF.flatten(0, 1).expand(members, -1, -1)
        told_KPG = torch.baddbmm(self.inputs_bias, flat_KPF, self.of_inputs)
        told_KSLG = told_KPG.view(members, sequences, steps, 3 * self.units)
        memory_KSH = told_KSLG.new_zeros(members, sequences, self.units)
        remembered = []
        for step in range(steps):
            if begins_SL is not None:
                memory_KSH = torch.where(begins_SL[:, step, None], 0.0, memory_KSH)
            own_KSG = torch.baddbmm(self.memory_bias, memory_KSH, self.of_memory)
            reset, update, new = told_KSLG[:, :, step].chunk(3, -1)
            own_reset, own_update, own_new = own_KSG.chunk(3, -1)
            keep = torch.sigmoid(update + own_update)
            candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
            memory_KSH = candidate + keep * (memory_KSH - candidate)
            remembered.append(memory_KSH)
        return torch.stack(remembered, 2)
