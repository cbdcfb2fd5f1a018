"""A graph of torch's kernels as NumPy calls on arrays that are laid out once.

A kernel of a small network takes less time than torch needs to dispatch it. Here every array has its place before the
first call, so a step is a list of NumPy calls with nothing in between, and memory that nobody reads any more is
written anew while it is still in the cache. Results agree with torch's up to the order of sums.
"""

import contextlib
import functools
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from policies.descent.simplification import VIEWS, changes_in_place

_aten = torch.ops.aten
_Array = NDArray[Any]
_ALIGNMENT = 64
"""Bytes; memory begins at multiples, so that sums are always taken in the same order."""
_SHORT_AXIS = 16
"""Length of a last axis up to which a call for each of its numbers is faster than a reduction."""
_DTYPES: dict[torch.dtype, Any] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.bool: np.bool_,
}
_UFUNCS: dict[Any, np.ufunc] = {
    _aten.abs.default: np.absolute,
    _aten.add.Scalar: np.add,
    _aten.add.Tensor: np.add,
    _aten.add_.Tensor: np.add,
    _aten.bitwise_and.Tensor: np.bitwise_and,
    _aten.bitwise_not.default: np.invert,
    _aten.bitwise_or.Tensor: np.bitwise_or,
    _aten.clamp_max.default: np.minimum,
    _aten.clamp_min.default: np.maximum,
    _aten.div.Scalar: np.divide,
    _aten.div.Tensor: np.divide,
    _aten.div_.Tensor: np.divide,
    _aten.eq.Scalar: np.equal,
    _aten.eq.Tensor: np.equal,
    _aten.exp.default: np.exp,
    _aten.ge.Scalar: np.greater_equal,
    _aten.ge.Tensor: np.greater_equal,
    _aten.gt.Scalar: np.greater,
    _aten.gt.Tensor: np.greater,
    _aten.le.Scalar: np.less_equal,
    _aten.le.Tensor: np.less_equal,
    _aten.log.default: np.log,
    _aten.log1p.default: np.log1p,
    _aten.logical_and.default: np.logical_and,
    _aten.logical_and_.default: np.logical_and,
    _aten.logical_not.default: np.logical_not,
    _aten.logical_or.default: np.logical_or,
    _aten.lt.Scalar: np.less,
    _aten.lt.Tensor: np.less,
    _aten.maximum.default: np.maximum,
    _aten.minimum.default: np.minimum,
    _aten.mul.Scalar: np.multiply,
    _aten.mul.Tensor: np.multiply,
    _aten.mul_.Tensor: np.multiply,
    _aten.ne.Scalar: np.not_equal,
    _aten.neg.default: np.negative,
    _aten.pow.Scalar: np.power,
    _aten.reciprocal.default: np.reciprocal,
    _aten.sgn.default: np.sign,
    _aten.sign.default: np.sign,
    _aten.sqrt.default: np.sqrt,
    _aten.sqrt_.default: np.sqrt,
    _aten.sub.Scalar: np.subtract,
    _aten.sub.Tensor: np.subtract,
    _aten.sub_.Tensor: np.subtract,
    _aten.tanh.default: np.tanh,
}
"""Kernels that work element by element and need no more than this."""


def as_numpy(
    module: fx.GraphModule, staying: Sequence[Tensor], given: Sequence[Tensor]
) -> Callable[..., Any] | None:
    """Return a graph as a function of the tensors in `given`; None where it has a kernel without a counterpart.

    Args:
        module: a simplified graph; its inputs are all tensors below, in their order.
        staying: tensors on the CPU that stay where they are; the graph may change them in place.
        given: tensors whose values are copied in at each call, from tensors of the same shapes.
    """
    try:
        return _Program(module, staying, given)
    except _UnknownKernelError:
        return None


class _UnknownKernelError(Exception):
    """There is no counterpart."""


class _Program:
    """Calls, and the arrays that they read and write."""

    def __init__(self, module: fx.GraphModule, staying: Sequence[Tensor], given: Sequence[Tensor]) -> None:
        self._calls: list[Callable[[], Any]] = []
        self._memory = _Memory(module.graph)
        places = [_aligned(tuple(x.shape), _array(x).dtype) for x in given]
        self._places = [torch.from_numpy(place) for place in places]
        inputs = iter([*map(_array, staying), *places])
        arrays: dict[fx.Node, Any] = {}
        for node in module.graph.nodes:
            match node.op:
                case "placeholder":
                    arrays[node] = next(inputs)
                case "get_attr":
                    arrays[node] = _array(operator.attrgetter(node.target)(module))
                case "call_function":
                    arguments = fx.node.map_arg((node.args, node.kwargs), arrays.__getitem__)
                    arrays[node] = self._lower(node, *arguments)
                case "output":
                    self._outputs = fx.node.map_arg(node.args[0], arrays.__getitem__)

    def __call__(self, *given: Tensor) -> Any:
        """Run; the tensors returned are the caller's."""
        torch._foreach_copy_(self._places, given)
        # About infinities and what comes of them torch says nothing either.
        with np.errstate(all="ignore"):
            for call in self._calls:
                call()
        if isinstance(self._outputs, np.ndarray):
            return torch.from_numpy(self._outputs.copy())
        return tuple(torch.from_numpy(output.copy()) for output in self._outputs)

    def _emit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if isinstance(function, np.ufunc):
            # What NumPy spends on a plain number, or on a keyword, is as much as on the computation.
            dtype = next(x.dtype for x in args if isinstance(x, np.ndarray))
            args = tuple(np.array(x, dtype) if isinstance(x, int | float) else x for x in args)
            if function not in (np.maximum, np.minimum):
                args = (*args, kwargs.pop("out"))
        self._calls.append(functools.partial(function, *args, **kwargs))

    def _lower(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Append the calls of a kernel; returns the array that will hold its result."""
        if node.target in VIEWS:
            return _view(node.target, args, kwargs)
        in_place, memory = changes_in_place(node), self._memory
        if (ufunc := _UFUNCS.get(node.target)) and not kwargs:
            # The result may lie where an operand lies that is read for the last time.
            memory.release(node)
            out = args[0] if in_place else memory.of(node)
            self._emit(ufunc, *args, out=out)
            return out
        if node.target not in _LOWERINGS:
            raise _UnknownKernelError(node.target)
        out = args[0] if in_place else memory.of(node)
        with memory.borrowed() as borrow:
            _LOWERINGS[node.target](self._emit, borrow, out, *args, **kwargs)
        memory.release(node)
        return out


class _Memory:
    """Where results lie; what is read for the last time makes room."""

    def __init__(self, graph: fx.Graph) -> None:
        self._free: dict[int, list[_Array]] = defaultdict(list)
        self._owned: dict[fx.Node, _Array] = {}
        base: dict[fx.Node, fx.Node] = {}
        last_reader: dict[fx.Node, fx.Node] = {}
        for node in graph.nodes:
            shows_another = node.op == "call_function" and (node.target in VIEWS or changes_in_place(node))
            base[node] = base[node.args[0]] if shows_another else node
            last_reader.update((base[read], node) for read in (node, *node.all_input_nodes))
        self._last_read: dict[fx.Node, list[fx.Node]] = defaultdict(list)
        for owner, reader in last_reader.items():
            self._last_read[reader].append(owner)

    def of(self, node: fx.Node) -> _Array:
        """Return memory for a node's result."""
        value = node.meta["val"]
        if not isinstance(value, Tensor) or value.dtype not in _DTYPES:
            raise _UnknownKernelError(node.target)
        self._owned[node] = self._take(tuple(value.shape), np.dtype(_DTYPES[value.dtype]))
        return self._owned[node]

    def release(self, reader: fx.Node) -> None:
        """Take back the memory of what no later node reads."""
        for owner in self._last_read[reader]:
            if owner in self._owned:
                self._give_back(self._owned.pop(owner))

    @contextlib.contextmanager
    def borrowed(self) -> Iterator["Borrow"]:
        """Give out memory for a kernel's own use, that is taken back at the end."""
        taken: list[_Array] = []

        def borrow(like: _Array, shape: tuple[int, ...] | None = None) -> _Array:
            taken.append(self._take(like.shape if shape is None else shape, like.dtype))
            return taken[-1]

        yield borrow
        for array in taken:
            self._give_back(array)

    def _take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Array:
        size = math.prod(shape) * dtype.itemsize
        free = self._free[size]
        return (free.pop() if free else _aligned((size,), np.dtype(np.uint8))).view(dtype).reshape(shape)

    def _give_back(self, array: _Array) -> None:
        self._free[array.nbytes].append(array.reshape(-1).view(np.uint8))


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Array:
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _array(tensor: Tensor) -> _Array:
    array: _Array = tensor.detach().numpy()
    return array


def _view(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what torch's view of an array shows."""
    if target is operator.getitem:
        return target(*args)
    shown = target(torch.from_numpy(args[0]), *args[1:], **kwargs)
    return shown.numpy() if isinstance(shown, Tensor) else [part.numpy() for part in shown]


Emit = Callable[..., None]
"""Appends a call."""
Borrow = Callable[..., _Array]
"""Gives memory like an array's, of another shape if one is given."""
_Lowering = Callable[..., None]
_LOWERINGS: dict[Any, _Lowering] = {}
"""Kernels that take several calls: how to make calls and to borrow memory, where the result goes (for a kernel that
works in place, its first argument), and the kernel's own arguments."""


def _lowers(*targets: Any) -> Callable[[_Lowering], _Lowering]:
    def mark(lowering: _Lowering) -> _Lowering:
        _LOWERINGS.update(dict.fromkeys(targets, lowering))
        return lowering

    return mark


@_lowers(_aten._to_copy.default, _aten.clone.default)
def _copy(emit: Emit, borrow: Borrow, out: _Array, x: _Array, **kwargs: Any) -> None:
    emit(np.copyto, out, x, casting="unsafe")


@_lowers(_aten.copy_.default)
def _copy_over(emit: Emit, borrow: Borrow, out: _Array, x: _Array, source: _Array) -> None:
    emit(np.copyto, out, source, casting="unsafe")


@_lowers(_aten.rsub.Scalar)
def _subtract_from(emit: Emit, borrow: Borrow, out: _Array, x: _Array, number: float) -> None:
    emit(np.subtract, number, x, out=out)


@_lowers(_aten.pow.Tensor_Scalar)
def _power(emit: Emit, borrow: Borrow, out: _Array, x: _Array, exponent: float) -> None:
    if exponent == 2:
        emit(np.square, x, out=out)
    else:
        emit(np.power, x, exponent, out=out)


@_lowers(_aten.clamp.default, _aten.clamp.Tensor)
def _clamp(emit: Emit, borrow: Borrow, out: _Array, x: _Array, low: Any = None, high: Any = None) -> None:
    if low is not None:
        emit(np.maximum, x, low, out=out)
        x = out
    if high is not None:
        emit(np.minimum, x, high, out=out)


@_lowers(_aten.rsqrt.default)
def _reciprocal_root(emit: Emit, borrow: Borrow, out: _Array, x: _Array) -> None:
    emit(np.sqrt, x, out=out)
    emit(np.reciprocal, out, out=out)


@_lowers(_aten.masked_fill_.Scalar)
def _fill_masked(emit: Emit, borrow: Borrow, out: _Array, x: _Array, mask: _Array, value: float) -> None:
    emit(np.copyto, x, value, where=mask)


@_lowers(_aten.where.self)
def _where(emit: Emit, borrow: Borrow, out: _Array, condition: _Array, x: Any, other: Any) -> None:
    emit(np.copyto, out, other)
    emit(np.copyto, out, x, where=condition)


@_lowers(_aten.sigmoid.default)
def _sigmoid(emit: Emit, borrow: Borrow, out: _Array, x: _Array) -> None:
    # By tanh, which does not overflow.
    emit(np.multiply, x, 0.5, out=out)
    emit(np.tanh, out, out=out)
    emit(np.multiply, out, 0.5, out=out)
    emit(np.add, out, 0.5, out=out)


@_lowers(_aten.sigmoid_backward.default)
def _sigmoid_backward(emit: Emit, borrow: Borrow, out: _Array, d: _Array, y: _Array) -> None:
    emit(np.multiply, y, y, out=out)
    emit(np.subtract, y, out, out=out)
    emit(np.multiply, out, d, out=out)


@_lowers(_aten.relu.default)
def _relu(emit: Emit, borrow: Borrow, out: _Array, x: _Array) -> None:
    emit(np.maximum, x, 0, out=out)


@_lowers(_aten.threshold_backward.default)
def _relu_backward(emit: Emit, borrow: Borrow, out: _Array, d: _Array, y: _Array, threshold: float) -> None:
    kept = borrow(np.empty(0, bool), y.shape)
    emit(np.greater, y, threshold, out=kept)
    emit(np.multiply, d, kept, out=out)


@_lowers(_aten.tanh_backward.default)
def _tanh_backward(emit: Emit, borrow: Borrow, out: _Array, d: _Array, y: _Array) -> None:
    emit(np.multiply, y, y, out=out)
    emit(np.subtract, 1, out, out=out)
    emit(np.multiply, out, d, out=out)


@_lowers(_aten.mm.default, _aten.bmm.default)
def _product(emit: Emit, borrow: Borrow, out: _Array, x: _Array, y: _Array) -> None:
    if x.shape[-1] == 1:
        emit(np.multiply, x, y, out=out)
    else:
        emit(np.matmul, x, y, out=out)


@_lowers(_aten.addmm.default, _aten.baddbmm.default)
def _affine(emit: Emit, borrow: Borrow, out: _Array, bias: _Array, x: _Array, y: _Array) -> None:
    _product(emit, borrow, out, x, y)
    emit(np.add, out, bias, out=out)


def _reduce(emit: Emit, ufunc: np.ufunc, out: _Array, x: _Array, axes: Any, *, keep: bool) -> None:
    """Reduce axes; the fast ways give the same as the last line."""
    axes = tuple(sorted(axis % x.ndim for axis in axes)) if axes else tuple(range(x.ndim))
    if x.ndim >= 2 and axes == (x.ndim - 1,) and 2 <= x.shape[-1] <= _SHORT_AXIS:
        first, *others = (x[..., k] for k in range(x.shape[-1]))
        total = out[..., 0] if keep else out
        for other in others:
            emit(ufunc, first, other, out=total)
            first = total
    elif ufunc is np.add and x.ndim == 2 and axes == (0,) and x.shape[1] > 1 and x.dtype.kind == "f":
        emit(np.matmul, np.ones(len(x), x.dtype), x, out=out.reshape(-1))
    else:
        emit(ufunc.reduce, x, axis=axes, keepdims=keep, out=out)


def _with_each_column(emit: Emit, ufunc: np.ufunc, out: _Array, x: _Array, one: _Array) -> None:
    """Combine a matrix with a single column."""
    if not 2 <= x.shape[-1] <= _SHORT_AXIS:
        emit(ufunc, x, one, out=out)
        return
    for k in range(x.shape[-1]):
        emit(ufunc, x[..., k], one[..., 0], out=out[..., k])


@_lowers(_aten.sum.default, _aten.sum.dim_IntList)
def _sum(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axes: Any = (), keep: bool = False) -> None:
    _reduce(emit, np.add, out, x, axes, keep=keep)


@_lowers(_aten.mean.default, _aten.mean.dim)
def _mean(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axes: Any = (), keep: bool = False) -> None:
    _reduce(emit, np.add, out, x, axes, keep=keep)
    emit(np.divide, out, x.size / max(out.size, 1), out=out)


@_lowers(_aten.amax.default)
def _largest(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axes: Any = (), keep: bool = False) -> None:
    _reduce(emit, np.maximum, out, x, axes, keep=keep)


@_lowers(_aten.linalg_vector_norm.default)
def _norm(emit: Emit, borrow: Borrow, out: _Array, x: _Array, order: float = 2) -> None:
    if order != 2 or x.ndim != 1:
        raise _UnknownKernelError(_aten.linalg_vector_norm.default)
    emit(np.matmul, x, x, out=out)
    emit(np.sqrt, out, out=out)


@_lowers(_aten._log_softmax.default)
def _log_softmax(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axis: int, half: bool) -> None:
    if axis % x.ndim != x.ndim - 1:
        raise _UnknownKernelError(_aten._log_softmax.default)
    whole, one = borrow(x), borrow(x, (*x.shape[:-1], 1))
    _reduce(emit, np.maximum, one, x, (-1,), keep=True)
    _with_each_column(emit, np.subtract, out, x, one)
    emit(np.exp, out, out=whole)
    _reduce(emit, np.add, one, whole, (-1,), keep=True)
    emit(np.log, one, out=one)
    _with_each_column(emit, np.subtract, out, out, one)


@_lowers(_aten._log_softmax_backward_data.default)
def _log_softmax_backward(
    emit: Emit, borrow: Borrow, out: _Array, d: _Array, y: _Array, axis: int, dtype: torch.dtype
) -> None:
    if axis % y.ndim != y.ndim - 1:
        raise _UnknownKernelError(_aten._log_softmax_backward_data.default)
    one = borrow(y, (*y.shape[:-1], 1))
    _reduce(emit, np.add, one, d, (-1,), keep=True)
    emit(np.exp, y, out=out)
    _with_each_column(emit, np.multiply, out, out, one)
    emit(np.subtract, d, out, out=out)


def _one_of_each_row(emit: Emit, borrow: Borrow, x: _Array, axis: int, index: _Array) -> _Array:
    """Return the flat numbers of what `gather` takes: one for each row of a matrix."""
    if x.ndim != 2 or axis % 2 != 1 or index.shape != (len(x), 1):
        raise _UnknownKernelError(_aten.gather.default)
    row, flat = np.arange(len(x)).reshape(-1, 1) * x.shape[1], borrow(index)
    emit(np.add, row, index, out=flat)
    return flat


@_lowers(_aten.gather.default)
def _gather(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axis: int, index: _Array) -> None:
    flat = _one_of_each_row(emit, borrow, x, axis, index)
    if not x.flags.c_contiguous:
        raise _UnknownKernelError(_aten.gather.default)
    # Out of range it clips, as nothing is: otherwise NumPy makes a copy first.
    emit(np.take, x.reshape(-1), flat, out=out, mode="clip")


@_lowers(_aten.scatter_add.default)
def _scatter_add(
    emit: Emit, borrow: Borrow, out: _Array, x: _Array, axis: int, index: _Array, source: _Array
) -> None:
    flat, was = _one_of_each_row(emit, borrow, x, axis, index), borrow(source)
    emit(np.copyto, out, x)
    emit(np.take, out.reshape(-1), flat, out=was, mode="clip")
    emit(np.add, was, source, out=was)
    emit(np.put, out.reshape(-1), flat, was)


def _into_zeros(emit: Emit, out: _Array, shown: _Array, d: _Array) -> None:
    if shown.size != out.size:
        emit(out.fill, 0)
    emit(np.copyto, shown, d)


@_lowers(_aten.select_backward.default)
def _select_backward(
    emit: Emit, borrow: Borrow, out: _Array, d: _Array, shape: Any, axis: int, index: int
) -> None:
    _into_zeros(emit, out, np.moveaxis(out, axis, 0)[index], d)


@_lowers(_aten.slice_backward.default)
def _slice_backward(
    emit: Emit, borrow: Borrow, out: _Array, d: _Array, shape: Any, axis: int, start: int, end: int, step: int
) -> None:
    _into_zeros(emit, out, np.moveaxis(np.moveaxis(out, axis, 0)[start:end:step], 0, axis), d)


@_lowers(_aten.cat.default)
def _concatenate(emit: Emit, borrow: Borrow, out: _Array, parts: Sequence[_Array], axis: int = 0) -> None:
    # Torch lets an empty vector stand beside anything.
    emit(np.concatenate, [part for part in parts if part.shape != (0,)], axis=axis, out=out)


@_lowers(_aten.stack.default)
def _stack(emit: Emit, borrow: Borrow, out: _Array, parts: Sequence[_Array], axis: int = 0) -> None:
    emit(np.stack, parts, axis=axis, out=out)


@_lowers(_aten.lerp_.Scalar)
def _move_towards(emit: Emit, borrow: Borrow, out: _Array, x: _Array, end: _Array, weight: float) -> None:
    change = borrow(x)
    emit(np.subtract, end, x, out=change)
    emit(np.multiply, change, weight, out=change)
    emit(np.add, x, change, out=x)


@_lowers(_aten.addcmul_.default)
def _add_product(
    emit: Emit, borrow: Borrow, out: _Array, x: _Array, one: _Array, other: _Array, *, value: float = 1.0
) -> None:
    product = borrow(x)
    emit(np.multiply, one, other, out=product)
    emit(np.multiply, product, value, out=product)
    emit(np.add, x, product, out=x)
