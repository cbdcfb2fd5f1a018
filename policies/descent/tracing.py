"""A function of tensors as a fixed list of kernels: what is left of it once Python and autograd are done.

The function is run once, the kernels that ran are written down and simplified, and what is returned repeats them on
other values: with NumPy on the CPU, where a call costs less than one of torch's, as TorchScript where a kernel has no
counterpart there, and on CUDA launched as one graph.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from policies.descent.cuda_graph import capture
from policies.descent.numpy_program import as_numpy
from policies.descent.simplification import simplify

_aten = torch.ops.aten


def trace(
    function: Callable[..., Any], staying: Sequence[Tensor], given: Sequence[Tensor]
) -> Callable[..., Any]:
    """Return what does the same as a function on tensors of the same shapes.

    Args:
        function: of all tensors below, in their order, to a tensor or a tuple of them; it branches on no tensor's
            value.
        staying: tensors that stay where they are; the function may change them in place.
        given: tensors that are other ones at each call.

    Returns:
        A function of the tensors in `given`.
    """
    examples = [x.clone() for x in (*staying, *given)]
    module = make_fx(function)(*examples)
    simplify(module, dict(enumerate(staying)))
    if staying[0].is_cuda:
        return capture(_in_torch(module, examples), staying, given)
    if (program := as_numpy(module, staying, given)) is not None:
        return program
    kernels = _in_torch(module, examples)
    return lambda *now: kernels(*staying, *now)


def _in_torch(module: fx.GraphModule, examples: Sequence[Tensor]) -> Callable[..., Any]:
    if any(node.target is _aten.convolution_backward.default for node in module.graph.nodes):
        # As Python runs it: this kernel takes an argument that TorchScript cannot record.
        return module
    with warnings.catch_warnings():
        # Deprecated in favour of compilers that take longer to start than people wait.
        warnings.simplefilter("ignore", DeprecationWarning)
        kernels: Callable[..., Any] = torch.jit.trace(module, tuple(examples), check_trace=False)  # type: ignore[no-untyped-call]
    return kernels
