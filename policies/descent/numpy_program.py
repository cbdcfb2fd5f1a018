"""A graph of torch's kernels as NumPy calls on arrays that are laid out once.

A kernel of a small network takes less time than torch needs to dispatch it. Here every array has its place before the
first call, so a step is a list of NumPy calls with nothing in between, and memory that nobody reads any more is
written anew while it is still in the cache.
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

from policies.descent.numpy_kernels import LOWERINGS, UFUNCS, Borrow, UnknownKernelError
from policies.descent.places import on_other_values
from policies.descent.simplification import VIEWS, changes_in_place

_Array = NDArray[Any]
_ALIGNMENT = 64
"""Bytes; memory begins at multiples, so that sums are always taken in the same order."""
_DTYPES: dict[torch.dtype, Any] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.bool: np.bool_,
}


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
        program = _Program(module, staying, given)
    except UnknownKernelError:
        return None
    return on_other_values(program.run, program.places, program.outputs)


class _Program:
    """Calls, and the arrays that they read and write."""

    def __init__(self, module: fx.GraphModule, staying: Sequence[Tensor], given: Sequence[Tensor]) -> None:
        self._calls: list[Callable[[], Any]] = []
        self._memory = _Memory(module.graph)
        places = [_aligned(tuple(x.shape), _array(x).dtype) for x in given]
        self.places = [torch.from_numpy(place) for place in places]
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
                    self.outputs = fx.node.map_arg(node.args[0], lambda x: torch.from_numpy(arrays[x]))

    def run(self) -> None:
        """Compute the outputs from what the places hold."""
        # About infinities and what comes of them torch says nothing either.
        with np.errstate(all="ignore"):
            for call in self._calls:
                call()

    def _emit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if isinstance(function, np.ufunc):
            # What NumPy spends on a plain number, or on a keyword, is as much as on the computation.
            dtype = next(x.dtype for x in args if isinstance(x, np.ndarray))
            args = tuple(
                np.array(x, np.result_type(dtype, x)) if isinstance(x, int | float) else x for x in args
            )
            if function not in (np.maximum, np.minimum):
                args = (*args, kwargs.pop("out"))
        self._calls.append(functools.partial(function, *args, **kwargs))

    def _lower(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Append the calls of a kernel; returns the array that will hold its result."""
        if node.target in VIEWS:
            return _view(node.target, args, kwargs)
        in_place, memory = changes_in_place(node), self._memory
        if (ufunc := UFUNCS.get(node.target)) and not kwargs:
            # The result may lie where an operand lies that is read for the last time.
            memory.release(node)
            out = args[0] if in_place else memory.of(node)
            self._emit(ufunc, *args, out=out)
            return out
        if node.target not in LOWERINGS:
            raise UnknownKernelError(node.target)
        out = args[0] if in_place else memory.of(node)
        with memory.borrowed() as borrow:
            LOWERINGS[node.target](self._emit, borrow, out, *args, **kwargs)
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
            raise UnknownKernelError(node.target)
        self._owned[node] = self._take(tuple(value.shape), np.dtype(_DTYPES[value.dtype]))
        return self._owned[node]

    def release(self, reader: fx.Node) -> None:
        """Take back the memory of what no later node reads."""
        for owner in self._last_read[reader]:
            if owner in self._owned:
                self._give_back(self._owned.pop(owner))

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[Borrow]:
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
