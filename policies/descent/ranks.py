"""Learners that make one update together: each takes a share of every minibatch, and gradients are added up.

All of them see the whole batch and shuffle it alike, so k learners do what one does, up to the order of sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of the learners this is; they talk through torch's default process group."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_process_group(cls) -> Self:
        """Return this process's place in torch's default process group, which may be only itself."""
        if not torch.distributed.is_initialized():
            return cls()
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self.count == 1

    def rows(self, count: int) -> slice:
        """Return which of so many rows are this learner's."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def add_up(self, *tensors: Tensor) -> list[Tensor]:
        """Return the sum of each tensor over all learners, in one message."""
        message = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(message)
        parts = torch.split(message, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]

    def agree(self, tensor: Tensor) -> None:
        """Take over the first learner's values, in place."""
        if not self.alone:
            torch.distributed.broadcast(tensor, 0)

    def everywhere(self, flags: Sequence[bool], device: torch.device) -> list[bool]:
        """Return which flags are set for every learner."""
        if self.alone:
            return list(flags)
        (total,) = self.add_up(torch.tensor(flags, dtype=torch.float32, device=device))
        return [count == self.count for count in total.tolist()]


ALONE = Ranks()
