"""A list of CUDA kernels launched as one: what is left of a small network's step is its kernels, not their launches."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from policies.descent.places import on_other_values

_WARM_UPS = 3
"""Runs before the capture, in which libraries choose their kernels."""


def capture(
    function: Callable[..., Any], staying: Sequence[Tensor], given: Sequence[Tensor]
) -> Callable[..., Any]:
    """Record what a function does on a CUDA device, and return what repeats it on other values.

    Args:
        function: of all tensors below, in their order; returns a tensor or a tuple of them.
        staying: tensors that stay where they are, and that the function may change in place.
        given: tensors whose values are copied in at each call, from tensors of the same shapes.

    Returns:
        A function of the tensors in `given`.
    """
    places, before = [x.clone() for x in given], [x.clone() for x in staying]
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            function(*staying, *places)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(*staying, *places)
    for tensor, value in zip(staying, before, strict=True):
        tensor.copy_(value)

    return on_other_values(_Replay(graph, function, *staying), places, outputs)


class _Replay:
    """A graph, and what its kernels read: it knows addresses alone, and what nobody holds is given to others."""

    def __init__(self, graph: torch.cuda.CUDAGraph, *read: object) -> None:
        self._graph, self._read = graph, read

    def __call__(self) -> None:
        self._graph.replay()
