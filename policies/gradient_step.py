"""Gradient steps without autograd at run time.

The loss with its gradient is traced once for each shape of its inputs into a fixed list of kernels, and the parameters
are views of one tensor, so that clipping and Adam are a few kernels. For networks as small as those that people teach,
autograd's and the optimiser's bookkeeping is most of a step.
"""

import itertools
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx


def flatten_parameters(network: nn.Module) -> nn.Parameter:
    """Lay a network's parameters into one tensor, in place: each becomes a view of what is returned."""
    parameters = list(network.parameters())
    flat = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    parts = torch.split(flat.data, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.data = part.view_as(parameter)
    return flat


class GradientStep:
    """One step down the gradient of a loss, with the gradient's length limited."""

    def __init__(
        self,
        loss: nn.Module,
        flat: nn.Parameter,
        *,
        optimiser: torch.optim.Optimizer,
        max_gradient_norm: float,
    ) -> None:
        """Prepare.

        Args:
            loss: a module whose output is the loss and what is watched, scalars; it branches on no tensor's value.
            flat: the parameters in it that learn, as `flatten_parameters` returned them, in the module's order.
            optimiser: over `flat`.
            max_gradient_norm: a longer gradient is shortened to it.
        """
        self._loss, self._flat, self._optimiser = loss, flat, optimiser
        self._max_norm = max_gradient_norm
        self._learnt = {n: p.shape for n, p in loss.named_parameters() if p.requires_grad}
        self._traced: dict[tuple[torch.Size, ...], Any] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take a step; returns the loss before it, what is watched, and last the gradient's norm."""
        shapes, fixed = tuple(x.shape for x in inputs), self._fixed()
        if shapes not in self._traced:
            self._traced[shapes] = self._trace(fixed, inputs)
        gradient, *watched = self._traced[shapes](self._flat.data, *fixed.values(), *inputs)
        norm = torch.linalg.vector_norm(gradient)
        self._flat.grad = gradient.mul_((self._max_norm / (norm + 1e-6)).clamp_max(1.0))
        self._optimiser.step()
        return (*watched, norm)

    def _fixed(self) -> dict[str, Tensor]:
        """What the module holds beside the parameters that learn, as it is now."""
        everything = itertools.chain(self._loss.named_parameters(), self._loss.named_buffers())
        return {name: tensor.data for name, tensor in everything if name not in self._learnt}

    def _trace(self, fixed: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Any:
        sizes = [shape.numel() for shape in self._learnt.values()]

        def compute(flat: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            parts = torch.split(flat, sizes)
            views = {n: part.view(s) for part, (n, s) in zip(parts, self._learnt.items(), strict=True)}
            now = dict(zip(fixed, rest, strict=False))
            loss, *watched = functional_call(self._loss, views | now, rest[len(fixed) :])
            (gradient,) = torch.autograd.grad(loss, [flat])
            return gradient, loss.detach(), *(value.detach() for value in watched)

        rest = (*fixed.values(), *inputs)
        with torch.enable_grad():
            graph = make_fx(compute)(self._flat.detach().clone().requires_grad_(), *rest)
        if any(node.target is torch.ops.aten.convolution_backward.default for node in graph.graph.nodes):
            # The list of kernels as Python runs it: this one takes an argument that TorchScript cannot record.
            return graph
        with warnings.catch_warnings():
            # Deprecated in favour of compilers that take longer to start than people wait.
            warnings.simplefilter("ignore", DeprecationWarning)
            arguments = (self._flat.data, *rest)
            return torch.jit.trace(graph, arguments, check_trace=False)  # type: ignore[no-untyped-call]
