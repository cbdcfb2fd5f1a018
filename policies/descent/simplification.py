"""A traced graph without the kernels that do nothing, do again what was done, or always come to the same."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

_aten = torch.ops.aten
VIEWS = {
    _aten.t.default,
    _aten.view.default,
    _aten.split.Tensor,
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
_BY_SHAPE = {
    _aten.ones_like.default,
    _aten.zeros_like.default,
    _aten.full_like.default,
    _aten.new_zeros.default,
    _aten.new_ones.default,
    _aten.new_full.default,
}
"""Read no value of the tensor that they are given."""


def simplify(module: fx.GraphModule, kept: Mapping[int, Tensor]) -> None:
    """Shorten a graph, in place.

    Args:
        module: as `make_fx` recorded it.
        kept: tensors that stay where they are for good, by the number of the argument that they are given as; views
            of them are taken in advance. Their values may change in place.
    """
    _strike_out_repeats(module)
    _compute_in_advance(module, kept)
    module.graph.eliminate_dead_code()
    module.recompile()


def changes_in_place(node: fx.Node) -> bool:
    """Whether a node writes over its first argument."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _calls(module: fx.GraphModule) -> list[fx.Node]:
    return [node for node in module.graph.nodes if node.op == "call_function" and not _is_random(node)]


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _strike_out_repeats(module: fx.GraphModule) -> None:
    done: dict[Any, fx.Node] = {}
    for node in _calls(module):
        if (same := _same_as(node)) is not None:
            node.replace_all_uses_with(same)
        elif changes_in_place(node):
            # What was computed before may not be what it would be now.
            done.clear()
        else:
            key = (node.target, _hashable(node.args), _hashable(node.kwargs))
            if (before := done.setdefault(key, node)) is not node and not _is_changed(before, node):
                node.replace_all_uses_with(before)


def _hashable(value: Any) -> Any:
    match value:
        case list() | tuple():
            return (type(value).__name__, *map(_hashable, value))
        case dict():
            return tuple((name, _hashable(part)) for name, part in sorted(value.items()))
    return (type(value).__name__, value)


def _is_changed(*nodes: fx.Node) -> bool:
    return any(changes_in_place(user) and user.args[0] is node for node in nodes for user in node.users)


def _compute_in_advance(module: fx.GraphModule, kept: Mapping[int, Tensor]) -> None:
    """Put constants, and views of kept tensors, in the place of what computes them."""
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    places = {placeholders[number]: tensor for number, tensor in kept.items()}
    constants = {
        node: operator.attrgetter(node.target)(module) for node in module.graph.nodes if node.op == "get_attr"
    }
    for node in _calls(module):
        inputs = node.all_input_nodes
        if changes_in_place(node):
            continue
        if inputs and node.target in VIEWS and all(x in places for x in inputs):
            places[node] = _value(node, places)
        elif (node.target in _BY_SHAPE or all(x in constants for x in inputs)) and not _is_changed(node):
            shapes = {x: _nothing_like(x) for x in inputs if x not in constants}
            constants[node] = _value(node, constants | shapes)
    for number, (node, value) in enumerate([*places.items(), *constants.items()]):
        if node.op == "call_function" and isinstance(value, Tensor):
            module.register_buffer(f"known_{number}", value, persistent=False)
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"known_{number}"))


def _value(node: fx.Node, known: Mapping[fx.Node, Any]) -> Any:
    target: Any = node.target
    return target(*fx.node.map_arg(node.args, known.__getitem__), **node.kwargs)


def _same_as(node: fx.Node) -> fx.Node | None:
    """Return the node whose values this one only repeats, if there is one."""
    source: Any = node.args[0] if node.args else None
    match node.target:
        case _aten.detach.default:
            return source  # type: ignore[no-any-return]
        case _aten.t.default if source.target is _aten.t.default:
            return source.args[0]  # type: ignore[no-any-return]
        case _aten.view.default | _aten.expand.default if _shape(source) == tuple(node.args[1]):  # type: ignore[arg-type]
            return source  # type: ignore[no-any-return]
        case _aten.pow.Tensor_Scalar if node.args[1] == 1 and _dtype(source) == _dtype(node):
            return source  # type: ignore[no-any-return]
    return None


def _nothing_like(node: fx.Node) -> Tensor:
    value = node.meta["val"]
    return torch.empty(value.shape, dtype=value.dtype, device=value.device)


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _dtype(node: fx.Node) -> torch.dtype:
    dtype: torch.dtype = node.meta["val"].dtype
    return dtype
