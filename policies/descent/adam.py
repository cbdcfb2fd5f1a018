"""Adam as kernels on one tensor, to be traced together with the gradient; its state is that of `torch.optim.Adam`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class AdamState(NamedTuple):
    """What Adam keeps of a tensor of parameters; changed in place."""

    step: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor


def state_of(optimiser: torch.optim.Adam, parameter: Tensor) -> AdamState:
    """Return the optimiser's state of a parameter, made now if it never made a step."""
    state = optimiser.state[parameter]
    if not state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    return AdamState(*(state[name] for name in AdamState._fields))


def forget(optimiser: torch.optim.Adam) -> None:
    """Begin anew, with the state where it is."""
    for state in optimiser.state.values():
        for tensor in state.values():
            tensor.zero_()


def adam_step(
    parameter: Tensor, gradient: Tensor, state: AdamState, *, rate: Tensor, group: Mapping[str, Any]
) -> None:
    """Take one step, in place.

    Sources: Kingma and Ba 2015, "Adam", arXiv:1412.6980, Algorithm 1; Loshchilov and Hutter 2019, "Decoupled weight
    decay regularization", arXiv:1711.05101, Algorithm 2, where the group decays weights.

    Args:
        parameter: changed.
        gradient: of the loss.
        state: changed.
        rate: step size, a scalar.
        group: betas, eps and weight_decay, as in the parameter groups of `torch.optim.AdamW`.
    """
    beta1, beta2 = group["betas"]
    state.step.add_(1)
    state.exp_avg.lerp_(gradient, 1 - beta1)
    state.exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    # In double: for early steps 1 - beta ** step is a small difference.
    step = state.step.double()
    mean_bias, square_bias = 1 - beta1**step, 1 - beta2**step
    root = (state.exp_avg_sq / square_bias.to(parameter.dtype)).sqrt_().add_(group["eps"])
    if group["weight_decay"]:
        parameter.mul_(1 - rate * group["weight_decay"])
    parameter.sub_(state.exp_avg.div(root).mul_((rate / mean_bias).to(parameter.dtype)))
