"""Gradient steps without autograd at run time.

The loss with its gradient is traced once for each shape of its inputs into a fixed list of kernels, and the parameters
are views of one tensor, so that clipping and Adam are a few kernels. For networks as small as those that people teach,
autograd's and the optimiser's bookkeeping is most of a step.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from policies.descent.adam import AdamState, adam_step, state_of
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
        self._fixed: dict[str, tuple[nn.Module, str]] = {}
        self._kernels: dict[tuple[object, ...], Callable[..., Any]] = {}
        self._rate, self._rate_is = torch.zeros((), device=flat.device), 0.0

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take a step; returns the loss before it, what is watched, and last the gradient's norm."""
        if not self._kernels:
            # Only now: buffers that an update fills as it begins are not there before.
            self._fixed = self._read_at_each_step()
        fixed = [getattr(owner, name).data for owner, name in self._fixed.values()]
        state = state_of(self._optimiser, self._flat)
        self._set_rate()
        # Kernels know where these lie: those that were loaded may lie elsewhere.
        places = [x.data_ptr() for x in (self._flat, *state)]
        key = (*places, *(x.shape for x in inputs))
        if key not in self._kernels:
            self._kernels[key] = self._as_kernels(state, (*fixed, *inputs))
        watched: tuple[Tensor, ...] = self._kernels[key](*fixed, *inputs)
        return watched

    def _read_at_each_step(self) -> dict[str, tuple[nn.Module, str]]:
        """Return where tensors of the loss are that do not learn, by name: an owner, and its attribute."""
        everything = itertools.chain(self._loss.named_parameters(), self._loss.named_buffers())
        parts = {name: name.rpartition(".") for name, _ in everything if name not in self._learnt}
        return {name: (self._loss.get_submodule(owner), own) for name, (owner, _, own) in parts.items()}

    def _set_rate(self) -> None:
        """Take over the optimiser's step size; sent to the device only when it changes."""
        rate = float(self._optimiser.param_groups[0]["lr"])
        if self._rate_is != rate:
            self._rate.fill_(rate)
            self._rate_is = rate

    def _as_kernels(self, state: AdamState, given: tuple[Tensor, ...]) -> Callable[..., Any]:
        """Return the whole step as kernels; among several learners, its two halves with their sum in between."""
        flat, rate = self._flat.data, self._rate

        def step(flat: Tensor, rate: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            state, rest = rest[:3], rest[3:]
            gradient, *watched = self._gradient(flat, *rest)
            return *watched, self._descend(flat, rate, *state, gradient)

        if self._ranks.alone:
            return self._traced(step, (flat, rate, *state), given)
        ascend = self._traced(self._gradient, (flat,), given)
        descend = self._traced(self._descend, (flat, rate, *state), (torch.empty_like(flat),))

        def together(*given: Tensor) -> tuple[Tensor, ...]:
            gradient, *watched = self._ranks.add_up(*ascend(*given))
            return *watched, descend(gradient)

        return together

    def _traced(
        self, function: Callable[..., Any], staying: tuple[Tensor, ...], given: tuple[Tensor, ...]
    ) -> Callable[..., Any]:
        return trace(function, staying, given) if self._is_traced else functools.partial(function, *staying)

    def _gradient(self, flat: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Return the loss's gradient, the loss, and what is watched."""
        names, sizes = list(self._fixed), [shape.numel() for shape in self._learnt.values()]
        with torch.enable_grad():
            learnt = flat.detach().requires_grad_()
            parts = torch.split(learnt, sizes)
            views = {n: part.view(s) for part, (n, s) in zip(parts, self._learnt.items(), strict=True)}
            now = dict(zip(names, rest, strict=False))
            outputs = functional_call(self._loss, views | now, rest[len(names) :])
            (gradient,) = torch.autograd.grad(outputs[0], [learnt])
        return gradient, *(output.detach() for output in outputs)

    def _descend(self, flat: Tensor, rate: Tensor, *state_and_gradient: Tensor) -> Tensor:
        """Limit the gradient and take Adam's step in place; returns the norm that the gradient had."""
        *state, gradient = state_and_gradient
        norm: Tensor = torch.linalg.vector_norm(gradient)
        gradient = gradient * (self._max_norm / (norm + 1e-6)).clamp_max(1.0)
        group = self._optimiser.param_groups[0]
        adam_step(flat, gradient, AdamState(*state), rate=rate, group=group)
        return norm
