"""A function of tensors as a fixed list of kernels: what is left of it once Python and autograd are done.

`trace` runs the function once, writes down which kernels ran, strikes out those that do nothing, and returns a
callable that repeats the others on new tensors of the same shapes. Views of tensors that stay where they are are
taken once, in advance.
"""

import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

_aten = torch.ops.aten
_VIEWS = {
    _aten.t.default,
    _aten.view.default,
    _aten.split_with_sizes.default,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten.transpose.int,
    _aten.permute.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.expand.default,
    _aten.detach.default,
    operator.getitem,
}


def trace(function: Callable[..., Any], arguments: tuple[Tensor, ...], *, kept: Mapping[int, Tensor]) -> Any:
    """Return the function as a list of kernels.

    Args:
        function: of tensors to a tuple of tensors; it branches on no tensor's value.
        arguments: examples; what is returned takes tensors of the same shapes.
        kept: tensors that stay where they are for good, by the number of the argument that they are given as; their
            values may change in place.
    """
    graph_module = make_fx(function)(*arguments)
    _simplify(graph_module, kept)
    if any(node.target is _aten.convolution_backward.default for node in graph_module.graph.nodes):
        # As Python runs it: this kernel takes an argument that TorchScript cannot record.
        return graph_module
    with warnings.catch_warnings():
        # Deprecated in favour of compilers that take longer to start than people wait.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(graph_module, arguments, check_trace=False)  # type: ignore[no-untyped-call]


def _simplify(module: fx.GraphModule, kept: Mapping[int, Tensor]) -> None:
    """Strike out kernels that do nothing, and take views of kept tensors in advance."""
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    known = {placeholders[number]: tensor for number, tensor in kept.items()}
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if (same := _same_as(node)) is not None:
            node.replace_all_uses_with(same)
        elif node.target in _VIEWS and all(argument in known for argument in node.all_input_nodes):
            known[node] = node.target(*fx.node.map_arg(node.args, known.__getitem__), **node.kwargs)
    for number, (node, value) in enumerate(list(known.items())):
        if node.op == "call_function" and isinstance(value, Tensor):
            module.register_buffer(f"kept_{number}", value, persistent=False)
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"kept_{number}"))
    module.graph.eliminate_dead_code()
    module.recompile()


def _same_as(node: fx.Node) -> fx.Node | None:
    """Return the node whose values this one only repeats, if there is one."""
    source: Any = node.args[0] if node.args else None
    match node.target:
        case _aten.detach.default:
            return source  # type: ignore[no-any-return]
        case _aten.t.default if source.target is _aten.t.default:
            return source.args[0]  # type: ignore[no-any-return]
        case _aten.view.default if tuple(source.meta["val"].shape) == tuple(node.args[1]):  # type: ignore[arg-type]
            return source  # type: ignore[no-any-return]
    return None
