"""The steepest direction when distance is measured by KL, without ever forming the Fisher matrix.

Sources: Hestenes and Stiefel 1952, "Methods of conjugate gradients for solving linear systems"; Schulman et al.
2015, "Trust region policy optimization", arXiv:1502.05477, appendix C.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

_SOLVED = 1e-20
"""Squared residual, as a share of the first one, at which the search for a direction ends."""


def flat_gradient(
    scalar: Tensor, parameters: Sequence[nn.Parameter], *, create_graph: bool = False, retain: bool = False
) -> Tensor:
    """Return the gradient with regard to all parameters as one vector; 0 for those that have no part."""
    parts = torch.autograd.grad(
        scalar,
        parameters,
        create_graph=create_graph,
        retain_graph=create_graph or retain,
        allow_unused=True,
        materialize_grads=True,
    )
    return torch.cat([part.reshape(-1) for part in parts])


def hessian_product(
    scalar: Tensor, parameters: Sequence[nn.Parameter], *, damping: float
) -> Callable[[Tensor], Tensor]:
    """Return the map of a vector v to (H + damping I) v, H being the scalar's Hessian.

    Where the scalar is the KL from a policy to itself, H is the Fisher matrix.
    """
    gradient = flat_gradient(scalar, parameters, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        return flat_gradient(gradient @ vector, parameters, retain=True) + damping * vector

    return product


def conjugate_gradient(product: Callable[[Tensor], Tensor], target: Tensor, *, steps: int) -> Tensor:
    """Solve product(x) = target for a symmetric positive definite map, approximately.

    Args:
        product: the map.
        target: the right-hand side, a vector.
        steps: at most; so many as the vector has numbers give the exact solution.
    """
    solution = torch.zeros_like(target)
    residual, direction = target.clone(), target.clone()
    first = square = residual @ residual
    for _ in range(steps):
        if square <= _SOLVED * first:
            break
        image = product(direction)
        length = square / (direction @ image)
        solution += length * direction
        residual -= length * image
        following = residual @ residual
        direction = residual + following / square * direction
        square = following
    return solution
