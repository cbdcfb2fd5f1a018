"""Gradient steps without autograd at run time.

The loss with its gradient is traced once for each shape of its inputs into a fixed list of kernels, and the parameters
are views of one tensor, so that clipping and Adam are a few kernels. For networks as small as those that people teach,
autograd's and the optimiser's bookkeeping is most of a step.
"""

import itertools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from policies.descent.adam import AdamState, adam_step, state_of
from policies.descent.cuda_graph import capture
from policies.descent.ranks import ALONE, Ranks
from policies.descent.tracing import trace


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
        ranks: Ranks = ALONE,
        traced: bool = True,
    ) -> None:
        """Prepare.

        Args:
            loss: a module whose output is the loss and what is watched, scalars; it branches on no tensor's value.
            flat: the parameters in it that learn, as `flatten_parameters` returned them, in the module's order.
            optimiser: over `flat`; its state and learning rate are used, its own step is not.
            max_gradient_norm: a longer gradient is shortened to it.
            ranks: whose losses add up to the one that is minimised.
            traced: False leaves the loss to autograd, for one with so many kernels that tracing takes too long.
        """
        self._loss, self._flat, self._optimiser = loss, flat, optimiser
        self._max_norm, self._ranks, self._is_traced = max_gradient_norm, ranks, traced
        self._learnt = {n: p.shape for n, p in loss.named_parameters() if p.requires_grad}
        everything = itertools.chain(loss.named_parameters(), loss.named_buffers())
        self._fixed_names = [name for name, _ in everything if name not in self._learnt]
        self._kernels: dict[tuple[object, ...], Callable[..., Any]] = {}
        self._rate: tuple[float, Tensor] | None = None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take a step; returns the loss before it, what is watched, and last the gradient's norm."""
        fixed = [operator.attrgetter(name)(self._loss).data for name in self._fixed_names]
        rate = self._rate_now()
        state = state_of(self._optimiser, self._flat)
        # Captured kernels know where the state lies: one that was loaded lies elsewhere.
        places = [x.data_ptr() for x in state] if self._flat.is_cuda else []
        key = (*places, *(x.shape for x in inputs))
        if key not in self._kernels:
            self._kernels[key] = self._as_kernels(state, rate, (*fixed, *inputs))
        watched: tuple[Tensor, ...] = self._kernels[key](self._flat.data, *state, rate, *fixed, *inputs)
        return watched

    def _rate_now(self) -> Tensor:
        """Return the optimiser's step size, on the device; sent there only when it changes."""
        rate = float(self._optimiser.param_groups[0]["lr"])
        if self._rate is None or self._rate[0] != rate:
            self._rate = rate, torch.tensor(rate, device=self._flat.device)
        return self._rate[1]

    def _as_kernels(self, state: AdamState, rate: Tensor, rest: tuple[Tensor, ...]) -> Callable[..., Any]:
        """Return the whole step as kernels; among several learners, its two halves with their sum in between."""

        def step(flat: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
            state, rate, rest = arguments[:3], arguments[3], arguments[4:]
            gradient, *watched = self._gradient(flat, *rest)
            return *watched, self._descend(flat, *state, gradient, rate)

        flat = self._flat.data
        if self._ranks.alone:
            return self._traced(step, (flat, *state), (rate, *rest))
        ascend = self._traced(self._gradient, (flat,), rest)
        descend = self._traced(self._descend, (flat, *state), (torch.empty_like(flat), rate))

        def together(flat: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
            state, rate, rest = arguments[:3], arguments[3], arguments[4:]
            gradient, *watched = self._ranks.add_up(*ascend(flat, *rest))
            return *watched, descend(flat, *state, gradient, rate)

        return together

    def _traced(
        self, function: Callable[..., Any], changed: tuple[Tensor, ...], given: tuple[Tensor, ...]
    ) -> Callable[..., Any]:
        if not self._is_traced:
            return function
        examples = tuple(x.clone() for x in (*changed, *given))
        kernels: Callable[..., Any] = trace(function, examples, kept={0: changed[0]})
        return capture(kernels, changed, given) if self._flat.is_cuda else kernels

    def _gradient(self, flat: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Return the loss's gradient, the loss, and what is watched."""
        names, sizes = self._fixed_names, [shape.numel() for shape in self._learnt.values()]
        with torch.enable_grad():
            learnt = flat.detach().requires_grad_()
            parts = torch.split(learnt, sizes)
            views = {n: part.view(s) for part, (n, s) in zip(parts, self._learnt.items(), strict=True)}
            now = dict(zip(names, rest, strict=False))
            outputs = functional_call(self._loss, views | now, rest[len(names) :])
            (gradient,) = torch.autograd.grad(outputs[0], [learnt])
        return gradient, *(output.detach() for output in outputs)

    def _descend(self, flat: Tensor, *arguments: Tensor) -> Tensor:
        """Limit the gradient and take Adam's step in place; returns the norm that the gradient had."""
        *state, gradient, rate = arguments
        norm: Tensor = torch.linalg.vector_norm(gradient)
        gradient = gradient * (self._max_norm / (norm + 1e-6)).clamp_max(1.0)
        group = self._optimiser.param_groups[0]
        adam_step(flat, gradient, AdamState(*state), rate=rate, group=group)
        return norm
