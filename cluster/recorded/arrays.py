"""Arrays in tables of recorded feedback: as bytes with dtype and shape, or as nested lists of numbers."""

from typing import Any

import numpy as np

from hitl.errors import InvalidRequest
from hitl.tensors import Array, decode_tensor, encode_tensor
from hitl.v1 import types_pb2


def tensor_struct(message: types_pb2.Tensor) -> dict[str, Any]:
    """Return an array as it lies in a table."""
    array = decode_tensor(message)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": message.data}


def tensor_of(value: Any, *, what: str = "") -> types_pb2.Tensor:
    """Read an array from a table: {dtype, shape, data}, or nested lists of numbers.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(value, dict):
        return _of_bytes(value)
    try:
        array: Array = np.asarray(value)
    except ValueError:
        raise InvalidRequest("its lists are not all of one length") from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise InvalidRequest("its lists hold something other than numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidRequest("not every number is finite")
    return encode_tensor(array)


def _of_bytes(value: dict[str, Any]) -> types_pb2.Tensor:
    if any(value.get(name) is None for name in ("dtype", "shape", "data")):
        raise InvalidRequest("an array needs dtype, shape and data")
    try:
        dtype = np.dtype(value["dtype"])
    except TypeError:
        raise InvalidRequest(f"{value['dtype']!r} is no dtype") from None
    empty = encode_tensor(np.zeros(0, dtype))
    message = types_pb2.Tensor(dtype=empty.dtype, shape=value["shape"], data=value["data"])
    decode_tensor(message, what="array")
    return message
