"""Torch's kernels as NumPy calls: two tables, of those that are one ufunc and of those that take several calls.

Results agree with torch's up to the order of sums.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_aten = torch.ops.aten
_Array = NDArray[Any]
_SHORT_AXIS = 16
"""Length of a last axis up to which a call for each of its numbers is faster than a reduction."""
UFUNCS: dict[Any, np.ufunc] = {
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
    _aten.logaddexp.default: np.logaddexp,
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


class UnknownKernelError(Exception):
    """There is no counterpart."""


Emit = Callable[..., None]
"""Appends a call."""
Borrow = Callable[..., _Array]
"""Gives memory like an array's, of another shape if one is given."""
_Lowering = Callable[..., None]
LOWERINGS: dict[Any, _Lowering] = {}
"""Kernels that take several calls: how to make calls and to borrow memory, where the result goes (for a kernel that
works in place, its first argument), and the kernel's own arguments."""


def _lowers(*targets: Any) -> Callable[[_Lowering], _Lowering]:
    def mark(lowering: _Lowering) -> _Lowering:
        LOWERINGS.update(dict.fromkeys(targets, lowering))
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
    if x.ndim >= 2 and axes == (x.ndim - 1,) and 2 <= x.shape[-1] <= _SHORT_AXIS and x.dtype == out.dtype:
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
        raise UnknownKernelError(_aten.linalg_vector_norm.default)
    emit(np.matmul, x, x, out=out)
    emit(np.sqrt, out, out=out)


@_lowers(_aten._log_softmax.default)
def _log_softmax(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axis: int, half: bool) -> None:
    if axis % x.ndim != x.ndim - 1:
        raise UnknownKernelError(_aten._log_softmax.default)
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
        raise UnknownKernelError(_aten._log_softmax_backward_data.default)
    one = borrow(y, (*y.shape[:-1], 1))
    _reduce(emit, np.add, one, d, (-1,), keep=True)
    emit(np.exp, y, out=out)
    _with_each_column(emit, np.multiply, out, out, one)
    emit(np.subtract, d, out, out=out)


def _one_of_each_row(emit: Emit, borrow: Borrow, x: _Array, axis: int, index: _Array) -> _Array:
    """Return the flat numbers of what `gather` takes: one of each row of a last axis."""
    rows = (*x.shape[:-1], 1)
    if axis not in (-1, x.ndim - 1) or index.shape != rows:
        raise UnknownKernelError(_aten.gather.default)
    row, flat = np.arange(math.prod(rows)).reshape(rows) * x.shape[-1], borrow(index)
    emit(np.add, row, index, out=flat)
    return flat


@_lowers(_aten.gather.default)
def _gather(emit: Emit, borrow: Borrow, out: _Array, x: _Array, axis: int, index: _Array) -> None:
    flat = _one_of_each_row(emit, borrow, x, axis, index)
    if not x.flags.c_contiguous:
        raise UnknownKernelError(_aten.gather.default)
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
