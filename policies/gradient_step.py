"""Gradient steps without autograd at run time.

The loss with its gradient is traced once for each shape of its inputs into a fixed list of kernels, and the parameters
are views of one tensor, so that clipping and Adam are a few kernels. For networks as small as those that people teach,
autograd's and the optimiser's bookkeeping is most of a step.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

Loss = Callable[..., tuple[Tensor, ...]]
"""(network, *inputs) -> (loss, *what is watched), all scalars, without a branch on a tensor's value."""


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
        network: nn.Module,
        flat: nn.Parameter,
        loss: Loss,
        *,
        optimiser: torch.optim.Optimizer,
        max_gradient_norm: float,
    ) -> None:
        """Prepare.

        Args:
            network: what learns.
            flat: its parameters, as `flatten_parameters` returned them.
            loss: what falls.
            optimiser: over `flat`.
            max_gradient_norm: a longer gradient is shortened to it.
        """
        self._module, self._flat, self._optimiser = _LossModule(network, loss), flat, optimiser
        self._max_norm = max_gradient_norm
        self._traced: dict[tuple[torch.Size, ...], Any] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take a step; returns the loss before it, what is watched, and last the gradient's norm."""
        shapes = tuple(x.shape for x in inputs)
        buffers = tuple(self._module.buffers())
        if shapes not in self._traced:
            self._traced[shapes] = self._trace(buffers, inputs)
        gradient, *watched = self._traced[shapes](self._flat.data, *buffers, *inputs)
        norm = torch.linalg.vector_norm(gradient)
        self._flat.grad = gradient.mul_((self._max_norm / (norm + 1e-6)).clamp_max(1.0))
        self._optimiser.step()
        return (*watched, norm)

    def _trace(self, buffers: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> Any:
        parameters = dict(self._module.named_parameters())
        names = [name for name, _ in self._module.named_buffers()]
        sizes = [parameter.numel() for parameter in parameters.values()]

        def compute(flat: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            parts = torch.split(flat, sizes)
            views = {n: part.view(p.shape) for part, (n, p) in zip(parts, parameters.items(), strict=True)}
            own = dict(zip(names, rest, strict=False))
            loss, *watched = functional_call(self._module, views | own, rest[len(names) :])
            (gradient,) = torch.autograd.grad(loss, [flat])
            return gradient, loss.detach(), *(value.detach() for value in watched)

        arguments = (self._flat.detach().clone(), *buffers, *inputs)
        with torch.enable_grad():
            graph = make_fx(compute)(arguments[0].requires_grad_(), *arguments[1:])
        with warnings.catch_warnings():
            # Deprecated in favour of compilers that take longer to start than people wait.
            warnings.simplefilter("ignore", DeprecationWarning)
            arguments = (self._flat.data, *arguments[1:])
            return torch.jit.trace(graph, arguments, check_trace=False)  # type: ignore[no-untyped-call]


class _LossModule(nn.Module):
    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._loss(self.network, *inputs)
