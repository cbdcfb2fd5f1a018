"""Running means and variances.

Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
"""

import torch
from torch import Tensor, nn


class Moments(nn.Module):
    """Mean and variance of all that was ever given to `take`; before that 0 and 1."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def take(self, value_P: Tensor) -> None:
        """Add values, one in each row of the first axis."""
        if not len(value_P):
            return
        value_P = value_P.double()
        count, total = float(len(value_P)), self.count + float(len(value_P))
        mean = value_P.mean(0)
        apart = mean - self.mean
        squares = self.variance * self.count + value_P.var(0, correction=0) * count
        self.variance.copy_((squares + apart**2 * self.count * count / total) / total)
        self.mean.copy_(self.mean + apart * (count / total))
        self.count.copy_(total)
