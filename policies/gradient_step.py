"""Gradient steps without autograd at run time.

The loss with its gradient is traced once for each shape of its inputs into a fixed list of kernels, and the parameters
are views of one tensor, so that clipping and Adam are a few kernels. For networks as small as those that people teach,
autograd's and the optimiser's bookkeeping is most of a step.
"""

import itertools
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from policies.adam import AdamState, adam_step, state_of
from policies.tracing import trace


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
        optimiser: torch.optim.Adam,
        max_gradient_norm: float,
    ) -> None:
        """Prepare.

        Args:
            loss: a module whose output is the loss and what is watched, scalars; it branches on no tensor's value.
            flat: the parameters in it that learn, as `flatten_parameters` returned them, in the module's order.
            optimiser: over `flat`; its state and learning rate are used, its own step is not.
            max_gradient_norm: a longer gradient is shortened to it.
        """
        self._loss, self._flat, self._optimiser = loss, flat, optimiser
        self._max_norm = max_gradient_norm
        self._learnt = {n: p.shape for n, p in loss.named_parameters() if p.requires_grad}
        everything = itertools.chain(loss.named_parameters(), loss.named_buffers())
        self._fixed_names = [name for name, _ in everything if name not in self._learnt]
        self._traced: dict[tuple[torch.Size, ...], Any] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take a step; returns the loss before it, what is watched, and last the gradient's norm."""
        state = state_of(self._optimiser, self._flat)
        rate = torch.as_tensor(self._optimiser.param_groups[0]["lr"])
        arguments = (*state, rate, *self._fixed(), *inputs)
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._traced:
            self._traced[shapes] = self._trace(arguments)
        watched: tuple[Tensor, ...] = self._traced[shapes](self._flat.data, *arguments)
        return watched

    def _fixed(self) -> list[Tensor]:
        """What the module holds beside the parameters that learn, as it is now."""
        return [operator.attrgetter(name)(self._loss).data for name in self._fixed_names]

    def _trace(self, arguments: tuple[Tensor, ...]) -> Any:
        names, sizes = self._fixed_names, [shape.numel() for shape in self._learnt.values()]
        group = self._optimiser.param_groups[0]

        def compute(flat: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
            state, (rate, *rest) = AdamState(*arguments[:3]), arguments[3:]
            with torch.enable_grad():
                learnt = flat.detach().requires_grad_()
                parts = torch.split(learnt, sizes)
                views = {n: part.view(s) for part, (n, s) in zip(parts, self._learnt.items(), strict=True)}
                now = dict(zip(names, rest, strict=False))
                loss, *watched = functional_call(self._loss, views | now, tuple(rest[len(names) :]))
                (gradient,) = torch.autograd.grad(loss, [learnt])
            norm = torch.linalg.vector_norm(gradient)
            gradient = gradient * (self._max_norm / (norm + 1e-6)).clamp_max(1.0)
            adam_step(flat, gradient, state, rate=rate, group=group)
            return loss.detach(), *(value.detach() for value in watched), norm

        examples = tuple(x.clone() for x in (self._flat.data, *arguments))
        return trace(compute, examples, kept={0: self._flat.data})
